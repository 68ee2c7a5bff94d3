/** What a search finds, and which of it is better. */
import { wordsOf } from "./words.ts";

export interface IndexedPassage {
  readonly collection: string;
  readonly document: string;
  /** Its place among the passages of the document. */
  readonly at: number;
  readonly title: string;
  /** Tags and the headings above. */
  readonly context: string;
  readonly heading: string;
  readonly body: string;
}

export interface TermHit<P> {
  readonly passage: P;
  /** Higher is better; comparable inside one result. */
  readonly score: number;
  /** Share of the question's information, 0 to 1. */
  readonly coverage: number;
}

/** The best hits so far, at most `limit`. */
export class Best<P extends IndexedPassage> {
  readonly hits: TermHit<P>[] = [];
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  admits(score: number): boolean {
    return this.hits.length < this.#limit || score >= (this.hits.at(-1)?.score ?? 0);
  }

  offer(hit: TermHit<P>): void {
    let at = this.hits.length;
    while (at > 0 && betterFirst(hit, this.hits[at - 1] as TermHit<P>) < 0) at--;
    if (at >= this.#limit) return;
    this.hits.splice(at, 0, hit);
    if (this.hits.length > this.#limit) this.hits.pop();
  }
}

/** Equals in an order that does not depend on which was indexed first. */
export function betterFirst<P extends IndexedPassage>(a: TermHit<P>, b: TermHit<P>): number {
  if (a.score !== b.score) return b.score - a.score;
  return order(a.passage, b.passage);
}

function order(a: IndexedPassage, b: IndexedPassage): number {
  if (a.collection !== b.collection) return a.collection < b.collection ? -1 : 1;
  return a.document === b.document ? a.at - b.at : a.document < b.document ? -1 : 1;
}

/** Share of the words that a heading and a sentence have in common. */
export function likeness(heading: string, words: ReadonlySet<string>): number {
  if (heading === "") return 0;
  const asked = new Set(wordsOf(heading));
  let common = 0;
  for (const word of asked) if (words.has(word)) common++;
  return asked.size === 0 ? 0 : common / (asked.size + words.size - common);
}
