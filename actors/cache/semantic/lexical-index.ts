/**
 * Tf-idf cosine between texts over words, pairs of words and character n-grams, by an inverted index whose work a look-up
 * bounds: common features are skipped first. Items are numbers given by the caller, dense from 0.
 */
import { stemOf } from "./stem.ts";
import type { Word } from "./words.ts";

/** Shares of the two kinds in a text's weight: words tell meaning, characters forgive typing. */
const PAIR_WEIGHT = 0.5;
const GRAM_WEIGHT = 0.35;
const GRAM = 4;
/** Postings that one look-up reads at most. */
const POSTINGS = 40_000;

export type Features = ReadonlyMap<string, number>;

/** Features of a text with their weights before idf. */
export function featuresOf(words: readonly Word[], language: string): Map<string, number> {
  const features = new Map<string, number>();
  const add = (name: string, weight: number): void => {
    features.set(name, Math.max(features.get(name) ?? 0, weight));
  };
  let before = "^";
  for (const { text } of words) {
    const stem = stemOf(text, language);
    add(stem, 1);
    add(`${before} ${stem}`, PAIR_WEIGHT);
    before = stem;
    const padded = `<${text}>`;
    for (let at = 0; at + GRAM <= padded.length; at++) add(`#${padded.slice(at, at + GRAM)}`, GRAM_WEIGHT);
  }
  return features;
}

interface Posting {
  items: Uint32Array;
  weights: Float32Array;
  length: number;
}

export class LexicalIndex {
  readonly #postings = new Map<string, Posting>();
  readonly #norms: number[] = [];
  readonly #features: (Features | undefined)[] = [];
  #live = 0;
  /** Size of the index when norms were last computed: they follow idf, which moves slowly. */
  #normedAt = 1;
  #scores = new Float32Array(1_024);

  get size(): number {
    return this.#live;
  }

  add(item: number, features: Features): void {
    this.#features[item] = features;
    this.#live++;
    for (const [name, weight] of features) push(this.#postingOf(name), item, weight);
    if (this.#live > 1.3 * this.#normedAt) this.#renorm();
    else this.#norms[item] = this.#normOf(features);
    if (item >= this.#scores.length) this.#scores = new Float32Array(2 * item);
  }

  /** Its postings stay until the caller builds the index anew; it is never found again. */
  remove(item: number): void {
    if (this.#features[item] === undefined) return;
    this.#features[item] = undefined;
    this.#live--;
  }

  idf(name: string): number {
    const count = this.#postings.get(name)?.length ?? 0;
    return Math.log(1 + (this.#live + 1) / (count + 1));
  }

  /** Items that contain the feature. */
  count(name: string): number {
    return this.#postings.get(name)?.length ?? 0;
  }

  /** Best first, at most `limit`. */
  search(features: Features, limit: number): { item: number; score: number }[] {
    const terms = [...features]
      .map(([name, weight]) => ({
        posting: this.#postings.get(name),
        weight: weight * this.idf(name) ** 2,
        own: weight,
      }))
      .filter(({ posting }) => posting !== undefined)
      .sort((a, b) => (a.posting?.length ?? 0) - (b.posting?.length ?? 0));
    const touched: number[] = [];
    const scores = this.#scores;
    let read = 0;
    for (const { posting, weight } of terms) {
      if (!posting) continue;
      read += posting.length;
      if (read > POSTINGS && touched.length >= limit) break;
      for (let n = 0; n < posting.length; n++) {
        const item = posting.items[n] as number;
        if (scores[item] === 0) touched.push(item);
        scores[item] = (scores[item] as number) + weight * (posting.weights[n] as number);
      }
    }
    const own = this.#normOf(features);
    const best: { item: number; score: number }[] = [];
    for (const item of touched) {
      const score = (scores[item] as number) / (own * (this.#norms[item] as number) || 1);
      scores[item] = 0;
      if (this.#features[item] !== undefined) insert(best, { item, score }, limit);
    }
    return best;
  }

  /** Cosine with one item, over all features. */
  similarity(features: Features, item: number): number {
    const other = this.#features[item];
    if (!other) return 0;
    let sum = 0;
    for (const [name, weight] of features) {
      const theirs = other.get(name);
      if (theirs !== undefined) sum += weight * theirs * this.idf(name) ** 2;
    }
    return sum / (this.#normOf(features) * this.#normOf(other) || 1);
  }

  #normOf(features: Features): number {
    let sum = 0;
    for (const [name, weight] of features) sum += (weight * this.idf(name)) ** 2;
    return Math.sqrt(sum);
  }

  #renorm(): void {
    this.#normedAt = this.#live;
    for (const [item, features] of this.#features.entries())
      if (features) this.#norms[item] = this.#normOf(features);
  }

  #postingOf(name: string): Posting {
    let posting = this.#postings.get(name);
    if (!posting) {
      posting = { items: new Uint32Array(2), weights: new Float32Array(2), length: 0 };
      this.#postings.set(name, posting);
    }
    return posting;
  }
}

function push(posting: Posting, item: number, weight: number): void {
  if (posting.length === posting.items.length) {
    const items = new Uint32Array(2 * posting.length);
    items.set(posting.items);
    const weights = new Float32Array(2 * posting.length);
    weights.set(posting.weights);
    posting.items = items;
    posting.weights = weights;
  }
  posting.items[posting.length] = item;
  posting.weights[posting.length++] = weight;
}

/** Into a short list in falling order. Equal scores keep the older item first. */
export function insert<T extends { readonly score: number }>(best: T[], found: T, limit: number): void {
  if (best.length === limit && found.score <= (best.at(-1)?.score ?? 0)) return;
  let at = best.length;
  while (at > 0 && (best[at - 1] as T).score < found.score) at--;
  best.splice(at, 0, found);
  if (best.length > limit) best.pop();
}
