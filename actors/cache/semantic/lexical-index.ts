/**
 * Tf-idf cosine between texts over words, pairs of words and character n-grams, by an inverted index whose work a look-up
 * bounds: common features are left out first. Items are numbers given by the caller, dense from 0, and may be given again
 * after they were removed. A feature counts once a text, and its weight follows from its kind, so that a posting is one
 * number. What is removed leaves nothing behind: neither its place nor a feature that only it had.
 */
import { rowAt } from "./cholesky.ts";
import { grown } from "./grown.ts";
import { stemOf } from "./stem.ts";
import type { Word } from "./words.ts";

/** Words tell meaning, characters forgive typing: what a feature of each kind weighs before idf. */
const WORD_WEIGHT = 1;
const PAIR_WEIGHT = 0.5;
const GRAM_WEIGHT = 0.35;
const GRAM = 4;
/** Postings that one look-up reads at most, beyond those of its rarest features. */
const POSTINGS = 12_000;
/** Sums of scores are kept in single precision: by so much they may be too small. */
const ROUNDED = 0.999;
/** Items that are compared with each other at once: a bit each. */
export const AMONG_MOST = 32;
/** Idf and norms follow the size of the index in steps of this factor. */
const STEP = 1.25;

/** Names of the features of a text, each once, with their weights. */
export function featuresOf(words: readonly Word[], language: string): Map<string, number> {
  const features = new Map<string, number>();
  let before = "^";
  for (const { text } of words) {
    const stem = stemOf(text, language);
    features.set(stem, WORD_WEIGHT);
    features.set(`${before} ${stem}`, PAIR_WEIGHT);
    before = stem;
    const padded = `<${text}>`;
    for (let at = 0; at + GRAM <= padded.length; at++)
      features.set(`#${padded.slice(at, at + GRAM)}`, GRAM_WEIGHT);
  }
  return features;
}

/** A text as the index sees it. */
export interface Prepared {
  /** Features that the index knows. */
  readonly terms: Uint32Array;
  readonly norm: number;
  /** How many further words it has never seen. */
  readonly unknown: number;
}

export interface Hit {
  readonly item: number;
  readonly score: number;
}

export class LexicalIndex {
  readonly #ids = new Map<string, number>();
  readonly #names: string[] = [];
  /** Ids of features that no text has any more. */
  readonly #free: number[] = [];
  readonly #weights: number[] = [];
  /** Squared tf-idf of each feature. */
  #values = new Float64Array(1_024);
  readonly #postings: Uint32Array[] = [];
  readonly #counts: number[] = [];
  readonly #terms: (Uint32Array | undefined)[] = [];
  #norms = new Float32Array(1_024);
  #scores = new Float32Array(1_024);
  /** Items that have a score in the look-up at hand. */
  #touched = new Uint32Array(1_024);
  /** For the look-up at hand: which texts have a feature, a bit a text. All 0 between look-ups. */
  #marks = new Uint32Array(1_024);
  #live = 0;
  #sized = 0;
  /** Texts that came or went since weights were last brought up to date. */
  #changes = 0;

  add(item: number, features: ReadonlyMap<string, number>): void {
    this.#live++;
    const terms = new Uint32Array(features.size);
    let at = 0;
    for (const [name, weight] of features) {
      const id = this.#ids.get(name) ?? this.#name(name, weight);
      terms[at++] = id;
      this.#post(id, item);
    }
    this.#terms[item] = terms;
    if (item >= this.#norms.length) {
      this.#norms = grown(this.#norms, Float32Array, item);
      this.#scores = new Float32Array(this.#norms.length);
      this.#touched = new Uint32Array(this.#norms.length);
    }
    this.#changes++;
    // Also where as many come as go.
    if (this.#live > STEP * this.#sized || this.#changes > 2 * this.#sized) this.#revalue();
    this.#norms[item] = this.#normOf(terms);
  }

  remove(item: number): void {
    const terms = this.#terms[item];
    if (terms === undefined) return;
    this.#terms[item] = undefined;
    this.#live--;
    this.#changes++;
    for (const id of terms) this.#unpost(id, item);
  }

  /** The features of an item. */
  termsOf(item: number): Uint32Array {
    return this.#terms[item] ?? new Uint32Array();
  }

  /** The number of a word, told by its stem. */
  idOf(stem: string): number | undefined {
    return this.#ids.get(stem);
  }

  prepare(features: ReadonlyMap<string, number>): Prepared {
    const terms: number[] = [];
    let sum = 0;
    let unknown = 0;
    for (const [name, weight] of features) {
      const id = this.#ids.get(name);
      if (id !== undefined) terms.push(id);
      else if (weight === WORD_WEIGHT) unknown++;
      sum += id === undefined ? (weight * this.#idf(0)) ** 2 : (this.#values[id] as number);
    }
    return { terms: Uint32Array.from(terms), norm: Math.sqrt(sum), unknown };
  }

  /** Best first, at most `limit`. Exact over the features that were read. */
  search({ terms, norm }: Prepared, limit: number): Hit[] {
    // Count and place in one number: numbers alone are sorted several times faster than by a function.
    const rarest = Float64Array.from(
      terms,
      (id, n) => (this.#counts[id] as number) * terms.length + n,
    ).sort();
    const scores = this.#scores;
    const touched = this.#touched;
    let reached = 0;
    let read = 0;
    for (const place of rarest) {
      const id = terms[place % terms.length] as number;
      const count = this.#counts[id] as number;
      if (read > 0 && read + count > POSTINGS) break;
      read += count;
      const posting = this.#postings[id] as Uint32Array;
      const value = this.#values[id] as number;
      for (let n = 0; n < count; n++) {
        const item = posting[n] as number;
        const before = scores[item] as number;
        if (before === 0) touched[reached++] = item;
        scores[item] = before + value;
      }
    }
    const norms = this.#norms;
    const best: Hit[] = [];
    let least = 0;
    // What an item has in common with the text is a part of its own square, so that it comes to the root of that at most.
    let enough = 0;
    for (let n = 0; n < reached; n++) {
      const item = touched[n] as number;
      const sum = scores[item] as number;
      scores[item] = 0;
      if (sum < enough) continue;
      const score = sum / (norm * (norms[item] as number) || 1);
      if (score <= least || !this.#terms[item]) continue;
      insert(best, { item, score }, limit);
      if (best.length < limit) continue;
      least = best.at(-1)?.score ?? 0;
      enough = ROUNDED * (least * norm) ** 2;
    }
    return best;
  }

  /** Cosines with these items, over all features. */
  similarities({ terms, norm }: Pick<Prepared, "terms" | "norm">, items: readonly number[]): number[] {
    const marks = this.#marks;
    for (const id of terms) marks[id] = 1;
    const all = items.map((item) => {
      let sum = 0;
      for (const id of this.#terms[item] ?? []) if (marks[id] === 1) sum += this.#values[id] as number;
      return sum / (norm * (this.#norms[item] as number) || 1);
    });
    for (const id of terms) marks[id] = 0;
    return all;
  }

  /**
   * Cosines of each of these items, `AMONG_MOST` at most, with those before it: a lower triangle, its diagonal 0. One walk over the
   * features of each: a feature's bits say which of the others have it. @throws RangeError for more
   */
  among(items: readonly number[]): Float64Array {
    if (items.length > AMONG_MOST) throw new RangeError(`${items.length} items, at most ${AMONG_MOST}`);
    const marks = this.#marks;
    const values = this.#values;
    const cosines = new Float64Array(rowAt(items.length));
    for (let column = items.length - 1; column >= 0; column--)
      for (const id of this.#terms[items[column] as number] ?? []) {
        const having = marks[id] as number;
        marks[id] = having | (1 << column);
        for (let rows = having; rows !== 0; rows &= rows - 1) {
          const at = rowAt(31 - Math.clz32(rows & -rows)) + column;
          cosines[at] = (cosines[at] as number) + (values[id] as number);
        }
      }
    for (const [row, item] of items.entries()) {
      for (const id of this.#terms[item] ?? []) marks[id] = 0;
      for (let column = 0; column < row; column++) {
        const norm = (this.#norms[item] as number) * (this.#norms[items[column] as number] as number);
        cosines[rowAt(row) + column] = (cosines[rowAt(row) + column] as number) / (norm || 1);
      }
    }
    return cosines;
  }

  #name(name: string, weight: number): number {
    const id = this.#free.pop() ?? this.#weights.length;
    this.#weights[id] = weight;
    this.#names[id] = name;
    this.#ids.set(name, id);
    this.#postings[id] = new Uint32Array(2);
    this.#counts[id] = 0;
    if (id >= this.#values.length) {
      this.#values = grown(this.#values, Float64Array, id);
      this.#marks = new Uint32Array(this.#values.length);
    }
    this.#values[id] = (weight * this.#idf(1)) ** 2;
    return id;
  }

  #post(id: number, item: number): void {
    const count = this.#counts[id] as number;
    let posting = this.#postings[id] as Uint32Array;
    if (count === posting.length) {
      posting = grown(posting, Uint32Array, count);
      this.#postings[id] = posting;
    }
    posting[count] = item;
    this.#counts[id] = count + 1;
  }

  /** The last item of the posting takes the place of this one. */
  #unpost(id: number, item: number): void {
    const posting = this.#postings[id] as Uint32Array;
    const last = (this.#counts[id] as number) - 1;
    posting[posting.indexOf(item)] = posting[last] as number;
    this.#counts[id] = last;
    if (last > 0) return;
    this.#ids.delete(this.#names[id] as string);
    this.#free.push(id);
  }

  #idf(count: number): number {
    return Math.log(1 + (this.#live + 1) / (count + 1));
  }

  #normOf(terms: Uint32Array): number {
    let sum = 0;
    for (const id of terms) sum += this.#values[id] as number;
    return Math.sqrt(sum);
  }

  #revalue(): void {
    this.#sized = this.#live;
    this.#changes = 0;
    for (const [id, weight] of this.#weights.entries())
      this.#values[id] = (weight * this.#idf(this.#counts[id] as number)) ** 2;
    for (const [item, terms] of this.#terms.entries()) if (terms) this.#norms[item] = this.#normOf(terms);
  }
}

/** Into a short list in falling order. Equal scores keep the older item first. */
export function insert(best: Hit[], found: Hit, limit: number): void {
  if (best.length === limit && found.score <= (best.at(-1)?.score ?? 0)) return;
  let at = best.length;
  while (at > 0 && (best[at - 1] as Hit).score < found.score) at--;
  best.splice(at, 0, found);
  if (best.length > limit) best.pop();
}
