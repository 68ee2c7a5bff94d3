/** The entries of one scope, with all that is derived from them. */
import { Fillers } from "./fillers.ts";
import { isFunctionWord } from "./grammar.ts";
import { type Context, type Reading, read, type SlotReader, type Words } from "./guards.ts";
import { featuresOf, LexicalIndex } from "./lexical-index.ts";
import { Lexicon } from "./lexicon.ts";
import { type Near, restOf } from "./measures.ts";
import type { SemanticEntry } from "./port.ts";
import { type Fit, Rests } from "./rests.ts";
import { type Shares, sharesOf } from "./shares.ts";
import { VectorIndex } from "./vector-index.ts";
import { type Word, wordsOf } from "./words.ts";

/** Candidates that are looked at, of each kind of nearness. */
const NEAR = 24;
/** Nearer than this is near at all. */
const LEAST = 0.12;
/** What vectors weigh in the order of candidates, beside words. */
const COSINE_SHARE = 0.8;
/** Nearest questions by which answers are told apart. */
const TELLING = 24;
/** How fast questions grow unlike each other with the cosine of their vectors, or of their words. */
const STEEPNESS = { vectors: 2, words: 1 };
/** How much faster where only the closest shall tell. */
const CLOSE = 3;
/** A word that questions with so many answers have is no value. */
const COMMON = 8;
/** Names of documents lately taken apart. */
const ABOUTS = 4_000;

export interface Probe {
  readonly reading: Reading;
  readonly near: readonly Near[];
  /** Answers of the nearest questions. */
  readonly fits: ReadonlyMap<string, Fit>;
  /** How much of the question no other is like, and how much of its words. */
  readonly novelty: number;
  readonly wordNovelty: number;
  /** How badly the nearest questions would be told from each other by their words, where this answer is meant. */
  readonly doubt: (rest: string) => number;
}

export class Shelf {
  readonly #words: Words;
  readonly #slots: SlotReader;
  readonly #items: (SemanticEntry | undefined)[] = [];
  /** Numbers of removed entries, for new ones. */
  readonly #free: number[] = [];
  readonly #rests: string[] = [];
  /** The words of each entry as they were written: to take texts apart is what costs most when guards compare them. */
  readonly #written: (readonly Word[] | undefined)[] = [];
  readonly #lexical = new LexicalIndex();
  readonly #vectors = new VectorIndex();
  readonly #groups = new Rests();
  readonly #fillers = new Fillers();
  readonly #abouts = new Map<string, ReadonlySet<string>>();

  constructor(language: string, slots: SlotReader) {
    this.#words = { language, lexicon: new Lexicon(language) };
    this.#slots = slots;
  }

  get size(): number {
    return this.#items.length - this.#free.length;
  }

  /** @returns the number by which the entry is known here */
  add(entry: SemanticEntry): number {
    const item = this.#free.pop() ?? this.#items.length;
    this.#items[item] = entry;
    const rest = restOf(entry.documents);
    this.#rests[item] = rest;
    const words = this.#words.lexicon.kept(wordsOf(entry.text, this.#words.language));
    this.#written[item] = words;
    this.#count(rest, words, 1);
    this.#lexical.add(item, featuresOf(this.#words.lexicon.meant(words), this.#words.language));
    if (entry.vector) this.#vectors.add(item, entry.vector);
    this.#groups.count(rest, this.#lexical.termsOf(item), this.#vectors.of(item), 1);
    return item;
  }

  remove(item: number): void {
    const entry = this.#items[item];
    if (!entry) return;
    const rest = this.#rests[item] ?? "";
    this.#items[item] = undefined;
    this.#free.push(item);
    this.#groups.count(rest, this.#lexical.termsOf(item), this.#vectors.of(item), -1);
    this.#lexical.remove(item);
    this.#vectors.remove(item);
    this.#count(rest, this.#written[item] ?? [], -1);
    this.#written[item] = undefined;
  }

  #count(rest: string, words: readonly Word[], by: 1 | -1): void {
    const { lexicon } = this.#words;
    if (by === 1) lexicon.count(words, by);
    this.#fillers.count(rest, words, (text) => lexicon.stemOf(text), by);
    if (by === -1) lexicon.count(words, by);
  }

  /** What is near to a text, nearest first. */
  probe(text: string, vector: Float32Array | undefined): Probe {
    const reading = read(text, this.#slots, this.#words);
    const features = featuresOf(reading.words, this.#words.language);
    const prepared = this.#lexical.prepare(features);
    const cosines = new Map<number, number>();
    if (vector) for (const { item, score } of this.#vectors.search(vector, NEAR)) cosines.set(item, score);
    const items = [
      ...new Set([...this.#lexical.search(prepared, NEAR).map(({ item }) => item), ...cosines.keys()]),
    ];
    const lexicals = this.#lexical.similarities(prepared, items);
    const near: Near[] = [];
    for (const [n, item] of items.entries()) {
      const entry = this.#items[item];
      if (!entry) continue;
      const lexical = lexicals[n] ?? 0;
      const cosine = vector && (cosines.get(item) ?? this.#vectors.similarity(vector, item));
      const score = cosine === undefined ? lexical : COSINE_SHARE * cosine + (1 - COSINE_SHARE) * lexical;
      if (score >= LEAST) near.push({ item, entry, rest: this.#rests[item] ?? "", cosine, lexical, score });
    }
    near.sort((a, b) => b.score - a.score || a.item - b.item);
    return { reading, near, ...this.#tell(near, prepared.terms, vector) };
  }

  /** What the nearest questions tell of each of their answers: by their vectors, where there are any, else by their words. */
  #tell(
    near: readonly Near[],
    terms: Uint32Array,
    vector: Float32Array | undefined,
  ): Omit<Probe, "reading" | "near"> {
    const hasVector = near.some(({ cosine }) => cosine !== undefined);
    const nearest = near.filter(({ cosine }) => (cosine !== undefined) === hasVector).slice(0, TELLING);
    const items = nearest.map(({ item }) => item);
    const rests = nearest.map(({ rest }) => rest);
    const byWords = {
      rests,
      own: nearest.map(({ lexical }) => lexical),
      among: this.#lexical.among(items),
    };
    const closeWords = sharesOf({ ...byWords, steepness: CLOSE * STEEPNESS.words });
    const [shares, close] = hasVector
      ? this.#sharesByVectors(nearest)
      : [sharesOf({ ...byWords, steepness: STEEPNESS.words }), closeWords];
    const common = this.#groups.fits(terms, vector);
    const fitOf = (rest: string): Fit => ({
      ...common(rest),
      share: shares.of(rest),
      closeShare: close.of(rest),
    });
    return {
      fits: new Map([...new Set(rests)].map((rest) => [rest, fitOf(rest)])),
      novelty: shares.novelty,
      wordNovelty: closeWords.novelty,
      doubt: closeWords.doubt,
    };
  }

  #sharesByVectors(nearest: readonly Near[]): [all: Shares, close: Shares] {
    const told = {
      rests: nearest.map(({ rest }) => rest),
      own: nearest.map(({ cosine = 0 }) => cosine),
      among: this.#vectors.among(nearest.map(({ item }) => item)),
    };
    const { vectors } = STEEPNESS;
    return [sharesOf({ ...told, steepness: vectors }), sharesOf({ ...told, steepness: CLOSE * vectors })];
  }

  readingOf({ entry, item }: Near): Reading {
    return read(entry.text, this.#slots, this.#words, this.#written[item]);
  }

  contextOf(rest: string): Context {
    const { lexicon, language } = this.#words;
    let about = this.#abouts.get(rest);
    if (!about) {
      if (this.#abouts.size >= ABOUTS) this.#abouts.clear();
      const names = wordsOf(rest.replaceAll("_", " "), language);
      about = new Set(names.map(({ text }) => lexicon.stemOf(text)));
      this.#abouts.set(rest, about);
    }
    const idOf = (text: string): number | undefined => this.#lexical.idOf(lexicon.stemOf(text));
    const spoken: Context["spoken"] = ({ text }) => {
      const id = idOf(text);
      return id === undefined ? "never" : this.#groups.says(rest, id);
    };
    const isCommon: Context["isCommon"] = (text) => {
      const id = idOf(text);
      return id !== undefined && this.#groups.answersWith(id) >= COMMON;
    };
    const isVerb = (text: string): boolean => lexicon.isTransitive(text);
    const tells: Context["tells"] = ({ text, head, shared, narrows }) => {
      const stem = lexicon.stemOf(head);
      if (!narrows)
        return (
          head !== "" &&
          !isFunctionWord(head) &&
          !isVerb(text) &&
          this.#fillers.always(rest, stem, { isVerb, shared })
        );
      return (
        this.#fillers.decides(rest, stem, { isVerb, shared }) ||
        [...lexicon.headsOf(text)].some((one) => this.#fillers.decides(rest, one, { isVerb, shared: false }))
      );
    };
    return { ...this.#words, about, spoken, isCommon, tells };
  }
}
