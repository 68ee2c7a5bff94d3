/**
 * The passages of one tenant in one language, ranked by BM25+ over four fields, each with how much of the question it
 * covers. A pure data structure: no clock, no input or output.
 *
 * Coverage is what makes "I do not know" possible. A BM25 score has no scale: the best passage of a question about
 * Tokyo scores like one about parcels. So every term of the question gets its information (idf over the passages;
 * a word that no passage holds informs as much as a rare one), and a passage covers the share of that information
 * which its terms account for. Covering more than half of what a question is about is an answer; less is a coincidence.
 *
 * Coverage is what makes it fast, too: a passage that holds none of a question's most informative terms cannot cover
 * enough, so only the postings of those open candidates, and only candidates that cover enough are scored.
 */
import { TIME_TERM } from "#contracts/numerals.ts";
import { Best, betterFirst, type IndexedPassage, likeness, type TermHit } from "./hits.ts";
import { grown, Postings } from "./postings.ts";
import { ACCEPTED, type Scratch, scratchFor } from "./scratch.ts";
import { Vocabulary } from "./vocabulary.ts";
import { termsOf, wordsOf } from "./words.ts";

export interface TermQuery<P> {
  readonly question: string;
  /** Whether a passage may be found. */
  readonly accepts: (passage: P) => boolean;
  /** Most hits. */
  readonly limit: number;
  /** Hits cover more than this share of the question. */
  readonly coverage: number;
}

/** Source: BM25+ (Lv and Zhai 2011), with the constants that minisearch uses. */
const K = 1.2;
const B = 0.7;
const DELTA = 0.5;
const FIELDS = [
  { name: "title", boost: 1.5, shift: 0, bits: 2 },
  { name: "context", boost: 1.5, shift: 2, bits: 2 },
  { name: "heading", boost: 2, shift: 4, bits: 2 },
  { name: "body", boost: 1, shift: 6, bits: 4 },
] as const;
/** Of a posting's 32 bits: how often the term is in each field, as far as it makes a difference, and the passage. */
const COUNT_BITS = 10;
const MOST_PASSAGES = 2 ** (32 - COUNT_BITS);
/** Longest field that lengths tell apart. */
const LONGEST = 255;
/**
 * Passages that are pretended to exist beside the real ones when a term's information is weighed: with three documents
 * a frequency says nothing yet, and every word would weigh as much as any other.
 */
const PRIOR_PASSAGES = 100;
/** A word of fewer passages, or of none, informs like one of so many: it may be just the asker's way with words. */
const RARE_PASSAGES = 4;
/** Distinct terms of one sentence that are looked for, the most informative ones. */
const MOST_TERMS = 64;
/** Sentences of one question that are looked for, half of them its first and half its last: none costs nothing. */
const MOST_SENTENCES = 64;
/** Postings read for one question: a long letter may not keep others waiting. About 10 ms. */
const MOST_POSTINGS = 6_000_000;

/** A term of a question with the terms of the index that it can stand for, best first. */
interface Source {
  readonly information: number;
  readonly expansions: readonly { readonly number: number; readonly weight: number }[];
}

export class TermIndex<P extends IndexedPassage> {
  readonly #language: string;
  readonly #vocabulary: Vocabulary;
  readonly #postings = new Postings();
  /** By number of the passage; a number without one is free, or waits for its last posting to be swept. */
  readonly #passages: (P | undefined)[] = [];
  readonly #numbers = new Map<P, number>();
  readonly #free: number[] = [];
  /** Postings left of each removed passage. */
  readonly #leftovers = new Map<number, number>();
  /** Distinct terms of each field of each passage. */
  #lengths = new Uint8Array(4 * 1_024);
  readonly #lengthSums = [0, 0, 0, 0];
  /** Of each term: passages that hold it in each field, and postings of removed passages. */
  #holders = new Uint32Array(4 * 1_024);
  #dead = new Uint32Array(1_024);

  constructor(language: string) {
    this.#language = language;
    this.#vocabulary = new Vocabulary(language);
  }

  /** Searchable passages. */
  get size(): number {
    return this.#numbers.size;
  }

  add(passage: P): void {
    if (this.#numbers.has(passage)) return;
    const number = this.#free.pop() ?? this.#passages.length;
    if (number >= MOST_PASSAGES) throw new RangeError(`an index holds at most ${MOST_PASSAGES} passages`);
    if (4 * number >= this.#lengths.length) this.#lengths = grown(this.#lengths, this.#lengths.length * 2);
    this.#passages[number] = passage;
    this.#numbers.set(passage, number);
    const { counts, lengths } = this.#analyse(passage);
    for (const [field, length] of lengths.entries()) {
      this.#lengths[4 * number + field] = length;
      this.#lengthSums[field] = (this.#lengthSums[field] as number) + length;
    }
    for (const [term, count] of counts) {
      const list = this.#vocabulary.add(term);
      if (list >= this.#dead.length) {
        this.#dead = grown(this.#dead, this.#dead.length * 2);
        this.#holders = grown(this.#holders, this.#holders.length * 2);
      }
      this.#hold(list, count, 1);
      this.#postings.append(list, ((number << COUNT_BITS) | count) >>> 0);
    }
  }

  /** Takes out what `add` was given. Its postings are swept once a list holds more dead ones than others. */
  remove(passage: P): void {
    const number = this.#numbers.get(passage);
    if (number === undefined) return;
    this.#numbers.delete(passage);
    this.#passages[number] = undefined;
    const { counts, lengths } = this.#analyse(passage);
    for (const [field, length] of lengths.entries())
      this.#lengthSums[field] = (this.#lengthSums[field] as number) - length;
    if (counts.size === 0) this.#free.push(number);
    else this.#leftovers.set(number, counts.size);
    for (const [term, count] of counts) {
      const list = this.#vocabulary.remove(term);
      if (list === undefined) continue;
      this.#hold(list, count, -1);
      const dead = (this.#dead[list] as number) + 1;
      this.#dead[list] = dead;
      if (2 * dead > this.#postings.count(list)) this.#sweep(list);
    }
  }

  #sweep(list: number): void {
    this.#postings.sweep(list, (posting) => {
      const number = posting >>> COUNT_BITS;
      const left = this.#leftovers.get(number);
      if (left === undefined) return true;
      if (left > 1) this.#leftovers.set(number, left - 1);
      else {
        this.#leftovers.delete(number);
        this.#free.push(number);
      }
      return false;
    });
    this.#dead[list] = 0;
  }

  #hold(list: number, count: number, change: 1 | -1): void {
    for (let field = 0; field < 4; field++)
      if (countIn(count, field) > 0)
        this.#holders[4 * list + field] = (this.#holders[4 * list + field] as number) + change;
  }

  /** The terms of a passage with their packed counts, and the lengths of its fields. */
  #analyse(passage: P): { counts: Map<string, number>; lengths: number[] } {
    const counts = new Map<string, number>();
    const lengths = FIELDS.map(({ name, shift, bits }) => {
      if (passage[name] === "") return 0;
      let distinct = 0;
      for (const term of termsOf(passage[name], this.#language)) {
        const count = counts.get(term) ?? 0;
        const own = (count >>> shift) & ((1 << bits) - 1);
        if (own === 0) distinct++;
        if (own < (1 << bits) - 1) counts.set(term, count + (1 << shift));
      }
      return Math.min(distinct, LONGEST);
    });
    return { counts, lengths };
  }

  /**
   * The accepted passages that answer, best first. A question of several sentences is as many questions:
   * greetings and stories around the one that matters must not count against it.
   */
  search(query: TermQuery<P>): TermHit<P>[] {
    const best = new Map<P, TermHit<P>>();
    const budget = { postings: MOST_POSTINGS };
    // The same sentence again finds the same.
    for (const sentence of endsOf([...new Set(sentencesOf(query.question))])) {
      if (budget.postings <= 0) break;
      for (const hit of this.#searchSentence(sentence, query, budget)) {
        const known = best.get(hit.passage);
        if (!known || hit.score > known.score) best.set(hit.passage, hit);
      }
    }
    return [...best.values()].sort(betterFirst).slice(0, query.limit);
  }

  #searchSentence(sentence: string, query: TermQuery<P>, budget: { postings: number }): TermHit<P>[] {
    const { sources, information } = this.#sourcesOf(sentence);
    if (information === 0 || query.limit <= 0) return [];
    const scratch = scratchFor(this.#passages.length);
    const accepted = this.#cover(sources, information * query.coverage, query, scratch, budget);
    this.#score(sources, scratch, budget);
    const words = new Set(wordsOf(sentence));
    const best = new Best<P>(query.limit);
    for (const number of accepted) {
      const passage = this.#passages[number] as P;
      const coverage = (scratch.covered[number] as number) / information;
      const score = (scratch.scores[number] as number) * (scratch.matches[number] as number) * coverage;
      // Of passages about the same thing, the one whose heading asks the same question comes first: at most twice as good.
      if (best.admits(2 * score))
        best.offer({ passage, coverage, score: score * (1 + likeness(passage.heading, words)) });
    }
    scratch.clear(accepted);
    return best.hits;
  }

  #sourcesOf(sentence: string): { sources: Source[]; information: number } {
    const terms = [...new Set(termsOf(sentence, this.#language))]
      .map((term) => ({ term, information: this.#informationOf(term) }))
      .sort((a, b) => b.information - a.information)
      .slice(0, MOST_TERMS);
    const sources = terms.map(({ term, information }) => ({
      information,
      expansions: this.#vocabulary.expand(term).flatMap((expansion) => {
        const number = this.#vocabulary.numberOf(expansion.term);
        return number === undefined ? [] : [{ number, weight: expansion.weight }];
      }),
    }));
    return { sources, information: terms.reduce((sum, { information }) => sum + information, 0) };
  }

  /**
   * Adds up what passages cover of the terms, the most informative first. Once what is left could not cover enough
   * alone, it opens no further candidates. @returns the passages that cover more than `enough`, marked in `scratch`
   */
  #cover(
    sources: readonly Source[],
    enough: number,
    { accepts }: TermQuery<P>,
    scratch: Scratch,
    budget: { postings: number },
  ): number[] {
    const { covered, marks } = scratch;
    const opened: number[] = [];
    let left = sources.reduce((sum, { information }) => sum + information, 0);
    for (const [at, { information, expansions }] of sources.entries()) {
      if (information === 0) continue;
      const opens = left > enough;
      const seen = at + 1;
      left -= information;
      for (const { number: list, weight } of expansions) {
        budget.postings -= this.#postings.count(list);
        for (const block of this.#postings.blocks(list))
          for (let i = 0; i < block.length; i++) {
            const number = (block[i] as number) >>> COUNT_BITS;
            const mark = marks[number];
            // The best expansion of a term comes first and counts alone.
            if (mark === seen) continue;
            if (mark === 0) {
              if (!opens) continue;
              opened.push(number);
            }
            marks[number] = seen;
            covered[number] = (covered[number] as number) + weight * information;
          }
      }
    }
    const accepted: number[] = [];
    for (const number of opened) {
      const passage = this.#passages[number];
      if (passage !== undefined && (covered[number] as number) > enough + ROUNDING && accepts(passage)) {
        marks[number] = ACCEPTED;
        accepted.push(number);
      } else {
        marks[number] = 0;
        covered[number] = 0;
      }
    }
    return accepted;
  }

  /** BM25+ of the accepted passages over all terms, and how many of them each holds. */
  #score(
    sources: readonly Source[],
    { marks, scores, matches }: Scratch,
    budget: { postings: number },
  ): void {
    const weights = new Map<number, number>();
    for (const { expansions } of sources)
      for (const { number, weight } of expansions)
        weights.set(number, Math.max(weight, weights.get(number) ?? 0));
    const norms = this.#norms();
    for (const [list, weight] of weights) {
      const factors = FIELDS.map(({ boost }, field) => weight * boost * this.#idf(list, field));
      budget.postings -= this.#postings.count(list);
      for (const block of this.#postings.blocks(list))
        for (let i = 0; i < block.length; i++) {
          const posting = block[i] as number;
          const number = posting >>> COUNT_BITS;
          if (marks[number] !== ACCEPTED) continue;
          let score = 0;
          for (let field = 0; field < 4; field++) {
            const count = countIn(posting, field);
            if (count === 0) continue;
            const norm = norms[
              field * (LONGEST + 1) + (this.#lengths[4 * number + field] as number)
            ] as number;
            score += (factors[field] as number) * (DELTA + (count * (K + 1)) / (count + norm));
          }
          scores[number] = (scores[number] as number) + score;
          matches[number] = (matches[number] as number) + 1;
        }
    }
  }

  #idf(list: number, field: number): number {
    const holders = this.#holders[4 * list + field] as number;
    return Math.log(1 + (this.size - holders + 0.5) / (holders + 0.5));
  }

  /** What BM25 makes of the length of a field, for every length there is. */
  #norms(): Float64Array {
    const norms = new Float64Array(4 * (LONGEST + 1));
    for (let field = 0; field < 4; field++) {
      const average = (this.#lengthSums[field] as number) / this.size || 1;
      for (let length = 0; length <= LONGEST; length++)
        norms[field * (LONGEST + 1) + length] = K * (1 - B + (B * length) / average);
    }
    return norms;
  }

  /**
   * Source: the inverse document frequency of BM25 (Robertson, Sparck Jones). A number is a value, not a topic: "after
   * 3 weeks" asks about the same as "after 4 weeks", and an order number is in no document.
   */
  #informationOf(term: string): number {
    if (term === TIME_TERM || /^[\d.,:]+$/.test(term)) return 0;
    const frequency = Math.max(RARE_PASSAGES, this.#vocabulary.frequency(term));
    const passages = this.size + PRIOR_PASSAGES;
    return Math.log(1 + (passages - frequency + 0.5) / (frequency + 0.5));
  }
}

/** How often a posting's term is in the field: two bits each, four for the body, which is the last. */
const countIn = (posting: number, field: number): number =>
  (posting >>> (2 * field)) & (field === 3 ? 15 : 3);

/** Sums of the same numbers in another order differ by less. */
const ROUNDING = 1e-9;

const sentencesOf = (question: string): string[] =>
  question.split(/[.?!;](?=\s|$)|\n/).filter((sentence) => sentence.trim() !== "");

const endsOf = (sentences: readonly string[]): readonly string[] =>
  sentences.length <= MOST_SENTENCES
    ? sentences
    : [...sentences.slice(0, MOST_SENTENCES / 2), ...sentences.slice(-MOST_SENTENCES / 2)];
