/**
 * The terms of one index with how many passages hold each, and which of them a question's word can stand for: the
 * word itself, a compound with it (`lever` - `levertijd`), its parts (`retourkosten` - `retour`, `kost`), or a word
 * that differs by a typing error. Each term has a number, under which the index keeps its postings.
 */
import { grown } from "./postings.ts";

export interface Expansion {
  readonly term: string;
  /** 1 for the word itself, less the further it is from it. */
  readonly weight: number;
}

const COMPOUND_WEIGHT = 0.7;
const PARTS_WEIGHT = 0.8;
const TYPO_WEIGHT = 0.75;
/** Parts of compounds have at least so many letters; a shorter one is an ending. */
const PART_CHARS = 4;
/** More compounds of one word tell nothing apart. */
const MOST_COMPOUNDS = 24;
/** Languages that write compounds as one word. */
const COMPOUNDING: ReadonlySet<string> = new Set(["nl", "de", "da", "sv", "no", "fi"]);

export class Vocabulary {
  readonly #compounding: boolean;
  readonly #numbers = new Map<string, number>();
  /** Numbers of terms that are no more. */
  readonly #free: number[] = [];
  #issued = 0;
  #frequencies = new Uint32Array(1_024);
  /** Terms by first letter and length: where a typing error is looked for. */
  readonly #alike = new Buckets();
  /** Terms by their first and by their last letters: where compounds are looked for. */
  readonly #beginnings = new Buckets();
  readonly #endings = new Buckets();

  constructor(language: string) {
    this.#compounding = COMPOUNDING.has(language);
  }

  get size(): number {
    return this.#numbers.size;
  }

  /** How many passages hold the term. */
  frequency(term: string): number {
    const number = this.#numbers.get(term);
    return number === undefined ? 0 : (this.#frequencies[number] as number);
  }

  numberOf(term: string): number | undefined {
    return this.#numbers.get(term);
  }

  /** One more passage holds the term. @returns its number */
  add(term: string): number {
    const number = this.#numbers.get(term) ?? this.#enter(term);
    this.#frequencies[number] = (this.#frequencies[number] as number) + 1;
    return number;
  }

  /** One passage less holds the term. @returns its number, free for another term once nobody holds it */
  remove(term: string): number | undefined {
    const number = this.#numbers.get(term);
    if (number === undefined) return undefined;
    const frequency = (this.#frequencies[number] as number) - 1;
    this.#frequencies[number] = frequency;
    if (frequency === 0) {
      this.#numbers.delete(term);
      this.#free.push(number);
      for (const [buckets, key] of this.#placesOf(term)) buckets.remove(key, term);
    }
    return number;
  }

  /** The terms of the index that a question's term stands for, best first; empty for a word it does not know. */
  expand(term: string): Expansion[] {
    const known: Expansion[] = this.frequency(term) > 0 ? [{ term, weight: 1 }] : [];
    if (this.#compounding) known.push(...this.#compoundsWith(term));
    if (known.length === 0 && this.#compounding) known.push(...this.#partsOf(term));
    return known.length > 0 ? known : this.#likely(term);
  }

  #enter(term: string): number {
    const number = this.#free.pop() ?? this.#issued++;
    if (number >= this.#frequencies.length)
      this.#frequencies = grown(this.#frequencies, this.#frequencies.length * 2);
    this.#frequencies[number] = 0;
    this.#numbers.set(term, number);
    for (const [buckets, key] of this.#placesOf(term)) buckets.add(key, term);
    return number;
  }

  #placesOf(term: string): [Buckets, string][] {
    if (term.length < PART_CHARS) return [];
    const places: [Buckets, string][] = [[this.#alike, `${term[0]}${term.length}`]];
    if (this.#compounding)
      places.push([this.#beginnings, term.slice(0, PART_CHARS)], [this.#endings, term.slice(-PART_CHARS)]);
    return places;
  }

  /** The most frequent ones, so that it does not matter which came first. */
  #compoundsWith(part: string): Expansion[] {
    if (part.length < PART_CHARS) return [];
    const found = new Set([
      ...this.#beginnings.get(part.slice(0, PART_CHARS)).filter((term) => term.startsWith(part)),
      ...this.#endings.get(part.slice(-PART_CHARS)).filter((term) => term.endsWith(part)),
    ]);
    return [...found]
      .filter((term) => term.length >= part.length + PART_CHARS - 1)
      .sort((a, b) => this.frequency(b) - this.frequency(a) || (a < b ? -1 : 1))
      .slice(0, MOST_COMPOUNDS)
      .map((term) => ({ term, weight: COMPOUND_WEIGHT }));
  }

  /** Splits an unknown compound where both sides are known, a linking s or e between them or not. */
  #partsOf(term: string): Expansion[] {
    for (let at = term.length - PART_CHARS; at >= PART_CHARS; at--) {
      const right = term.slice(at);
      const left = [term.slice(0, at), term.slice(0, at).replace(/[se]$/, "")].find(
        (part) => this.frequency(part) > 0,
      );
      if (left !== undefined && this.frequency(right) > 0)
        return [left, right].map((part) => ({ term: part, weight: PARTS_WEIGHT }));
    }
    return [];
  }

  /** Typing errors: one letter in six, two in nine, never the first. */
  #likely(term: string): Expansion[] {
    const most = term.length >= 9 ? 2 : term.length >= 6 ? 1 : 0;
    if (most === 0 || /\d/.test(term)) return [];
    const letters = lettersOf(term);
    let best: { term: string; distance: number; frequency: number } | undefined;
    for (let length = term.length - most; length <= term.length + most; length++)
      for (const candidate of this.#alike.get(`${term[0]}${length}`)) {
        // A changed letter makes at most two differ in what letters there are.
        if (bitsOf(lettersOf(candidate) ^ letters) > 2 * most) continue;
        const distance = distanceOf(term, candidate, most);
        if (distance > most) continue;
        const frequency = this.frequency(candidate);
        if (
          !best ||
          distance < best.distance ||
          (distance === best.distance &&
            (frequency > best.frequency || (frequency === best.frequency && candidate < best.term)))
        )
          best = { term: candidate, distance, frequency };
      }
    return best ? [{ term: best.term, weight: TYPO_WEIGHT }] : [];
  }
}

class Buckets {
  readonly #buckets = new Map<string, string[]>();

  get(key: string): readonly string[] {
    return this.#buckets.get(key) ?? [];
  }

  add(key: string, term: string): void {
    const bucket = this.#buckets.get(key);
    if (bucket) bucket.push(term);
    else this.#buckets.set(key, [term]);
  }

  remove(key: string, term: string): void {
    const bucket = this.#buckets.get(key) ?? [];
    const at = bucket.indexOf(term);
    if (at < 0) return;
    const last = bucket.pop() as string;
    if (at < bucket.length) bucket[at] = last;
    if (bucket.length === 0) this.#buckets.delete(key);
  }
}

/** A bit for each letter that occurs. */
function lettersOf(term: string): number {
  let bits = 0;
  for (let at = 0; at < term.length; at++) bits |= 1 << (term.charCodeAt(at) & 31);
  return bits;
}

function bitsOf(value: number): number {
  let count = 0;
  for (let rest = value; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/** Edit distance (Levenshtein), or more than `most` as soon as it is clear. */
function distanceOf(a: string, b: string, most: number): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    let least = i;
    for (let j = 1; j <= b.length; j++) {
      const same = a.charCodeAt(i - 1) === b.charCodeAt(j - 1) ? 0 : 1;
      const value = Math.min(
        (row[j] as number) + 1,
        (next[j - 1] as number) + 1,
        (row[j - 1] as number) + same,
      );
      next.push(value);
      if (value < least) least = value;
    }
    if (least > most) return least;
    row = next;
  }
  return row[b.length] as number;
}
