/**
 * The passages of one tenant in one language, ranked by BM25+ (minisearch), each with how much of the question it
 * covers. A pure data structure: no clock, no input or output.
 *
 * Coverage is what makes "I do not know" possible. A BM25 score has no scale: the best passage of a question about
 * Tokyo scores like one about parcels. So every term of the question gets its information (idf over the passages;
 * a word that no passage holds informs as much as a rare one), and a passage covers the share of that information
 * which its terms account for. Covering more than half of what a question is about is an answer; less is a coincidence.
 */
import MiniSearch from "minisearch";
import { Vocabulary } from "./vocabulary.ts";
import { TIME_TERM, termsOf, wordsOf } from "./words.ts";

export interface IndexedPassage {
  /** Unique in the index. */
  readonly id: string;
  readonly collection: string;
  readonly title: string;
  readonly tags: string;
  readonly heading: string;
  readonly body: string;
}

export interface TermHit {
  readonly id: string;
  /** Higher is better; comparable inside one result. */
  readonly score: number;
  /** Share of the question's information, 0 to 1. */
  readonly coverage: number;
}

const FIELDS = ["title", "tags", "heading", "body"] as const;
const BOOST = { title: 1.5, tags: 1.5, heading: 2, body: 1 };
/**
 * Passages that are pretended to exist beside the real ones when a term's information is weighed: with three documents
 * a frequency says nothing yet, and every word would weigh as much as any other.
 */
const PRIOR_PASSAGES = 100;
/** A word of fewer passages, or of none, informs like one of so many: it may be just the asker's way with words. */
const RARE_PASSAGES = 4;

export class TermIndex {
  readonly #language: string;
  readonly #vocabulary: Vocabulary;
  readonly #search = new MiniSearch<IndexedPassage>({
    fields: [...FIELDS],
    storeFields: ["collection", "asks"],
    // Fields are made of terms already; see #document.
    tokenize: (text) => (text === "" ? [] : text.split(" ")),
    processTerm: (term) => term,
    autoVacuum: false,
    logger: () => {},
  });

  constructor(language: string) {
    this.#language = language;
    this.#vocabulary = new Vocabulary(language);
  }

  get size(): number {
    return this.#search.documentCount;
  }

  add(passage: IndexedPassage): void {
    const document = this.#document(passage);
    this.#search.add(document);
    for (const term of termSet(document)) this.#vocabulary.add(term);
  }

  /** Takes out what `add` was given. */
  remove(passage: IndexedPassage): void {
    if (!this.#search.has(passage.id)) return;
    const document = this.#document(passage);
    this.#search.remove(document);
    for (const term of termSet(document)) this.#vocabulary.remove(term);
  }

  /**
   * Every passage of the collections that shares a term with the question, best first. A question of several sentences
   * is as many questions: greetings and stories around the one that matters must not count against it.
   */
  search(question: string, collections: ReadonlySet<string>): TermHit[] {
    const best = new Map<string, TermHit>();
    for (const sentence of sentencesOf(question))
      for (const hit of this.#searchSentence(sentence, collections)) {
        const known = best.get(hit.id);
        if (!known || hit.score > known.score) best.set(hit.id, hit);
      }
    return [...best.values()].sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1));
  }

  #searchSentence(sentence: string, collections: ReadonlySet<string>): TermHit[] {
    const weights = new Map<string, number>();
    const sources = new Map<string, { source: string; weight: number }[]>();
    let information = 0;
    for (const term of new Set(termsOf(sentence, this.#language))) {
      information += this.#informationOf(term);
      for (const { term: known, weight } of this.#vocabulary.expand(term)) {
        weights.set(known, Math.max(weight, weights.get(known) ?? 0));
        sources.set(known, [...(sources.get(known) ?? []), { source: term, weight }]);
      }
    }
    if (weights.size === 0 || information === 0) return [];
    const found = this.#search.search([...weights.keys()].join(" "), {
      boost: BOOST,
      boostTerm: (term) => weights.get(term) ?? 1,
      filter: (hit) => collections.has(hit.collection as string),
    });
    const words = new Set(wordsOf(sentence));
    return found.map((hit) => {
      const coverage = this.#covered(hit.terms, sources) / information;
      // Of passages about the same thing, the one whose heading asks the same question comes first.
      const heading = new Set(hit.asks as string[]);
      const alike = heading.size === 0 ? 0 : heading.intersection(words).size / heading.union(words).size;
      return { id: hit.id as string, coverage, score: hit.score * coverage * (1 + alike) };
    });
  }

  #covered(
    found: readonly string[],
    sources: ReadonlyMap<string, readonly { source: string; weight: number }[]>,
  ): number {
    const best = new Map<string, number>();
    for (const term of found)
      for (const { source, weight } of sources.get(term) ?? [])
        best.set(source, Math.max(weight, best.get(source) ?? 0));
    let covered = 0;
    for (const [source, weight] of best) covered += weight * this.#informationOf(source);
    return covered;
  }

  /**
   * Source: the inverse document frequency of BM25 (Robertson, Sparck Jones). A number is a value, not a topic: "after
   * 3 weeks" asks about the same as "after 4 weeks", and an order number is in no document.
   */
  #informationOf(term: string): number {
    if (term === TIME_TERM || /^[\d.,:]+$/.test(term)) return 0;
    const frequency = Math.max(RARE_PASSAGES, this.#vocabulary.frequency(term));
    const passages = this.#search.documentCount + PRIOR_PASSAGES;
    return Math.log(1 + (passages - frequency + 0.5) / (frequency + 0.5));
  }

  #document(passage: IndexedPassage): IndexedPassage & { asks: string[] } {
    const terms = (text: string): string => termsOf(text, this.#language).join(" ");
    return {
      ...passage,
      asks: wordsOf(passage.heading),
      title: terms(passage.title),
      tags: terms(passage.tags),
      heading: terms(passage.heading),
      body: terms(passage.body),
    };
  }
}

const sentencesOf = (question: string): string[] =>
  question.split(/[.?!;](?=\s|$)|\n/).filter((sentence) => sentence.trim() !== "");

function termSet(document: IndexedPassage): Set<string> {
  return new Set(FIELDS.flatMap((field) => document[field].split(" ")).filter((term) => term !== ""));
}
