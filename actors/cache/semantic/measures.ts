/** What is measured of a candidate: how near it is, what else is as near, and how such candidates did before. */
import type { DocumentRef, SemanticEntry } from "./port.ts";
import type { Fit } from "./rests.ts";

/** The order of `Trial.features`. All of about one size, so that one strength of prior fits them. */
export const FEATURES = [
  "one",
  "cosine",
  "cosineMargin",
  "cosineOverUngrounded",
  "lexical",
  "lexicalOverUngrounded",
  "record",
  "confusion",
  "found",
  "otherFound",
  "meanCosine",
  "meanCosineMargin",
  "wordsMargin",
  "wordsOverUngrounded",
  "size",
  "remarks",
  "share",
  "shareMargin",
  "shareOverUngrounded",
  "closeMargin",
  "novelty",
  "wordNovelty",
  "doubt",
  "rivalSize",
  "entries",
  "length",
] as const;

export interface Near {
  readonly item: number;
  readonly entry: SemanticEntry;
  /** What the answer rests on, as one string; empty for nothing. */
  readonly rest: string;
  readonly cosine: number | undefined;
  readonly lexical: number;
  /** The nearness by which candidates are ranked. */
  readonly score: number;
}

/** Which documents, whatever their revision: two answers with the same rest are taken for the same answer. */
export const restOf = (documents: readonly DocumentRef[]): string =>
  [...new Set(documents.map(({ collection, document }) => `${collection}\n${document}`))].sort().join("\n\n");

/** Shares, from 0 to 1; 0.5 where nothing is known. */
export interface Records {
  /** Lessons in which the entry was right. */
  entry(id: string): number;
  /** Low where the model answered from `other` when an entry of `rest` was the candidate. */
  confusion(rest: string, other: string): number;
}

/** A natural logarithm of likelihoods over this is about 1, and more than so much tells no more. */
const WORDS_SCALE = 12;
const WORDS_LIMIT = 4;
/** More entries, or words of a question, than so many tell nothing more. */
const ENTRIES = 1_000;
const WORDS = 60;

export interface Situation {
  readonly near: readonly Near[];
  /** Of every answer that the nearest questions have. */
  readonly fits: ReadonlyMap<string, Fit>;
  readonly records: Records;
  readonly found: readonly DocumentRef[] | undefined;
  /** Words that narrow a noun in one of both questions. */
  readonly remarks: number;
  /** How much of the question no other is like, and how much of its words. */
  readonly novelty: number;
  readonly wordNovelty: number;
  /** How badly the nearest questions would be told from each other, where this answer is meant. */
  readonly doubt: (rest: string) => number;
  /** In the scope: while there are few, a question may well be the first of its answer. */
  readonly entries: number;
  /** Words of the question. */
  readonly length: number;
}

export function measure(candidate: Near, situation: Situation): number[] {
  const { near, fits, records, found } = situation;
  const { rest, entry } = candidate;
  const isOwn = (one: Near): boolean => one.rest === rest;
  const isUngrounded = (one: Near): boolean => one.rest === "";
  const own = fits.get(rest) ?? NO_FIT;
  const others = [...fits].filter(([of]) => of !== rest);
  const grounded = others.filter(([of]) => of !== "").map(([, fit]) => fit);
  const ungrounded = fits.get("");
  const over = (of: (fit: Fit) => number): number => of(own) - Math.max(0, ...grounded.map(of));
  const ahead = (fit: Fit): number => clipped((own.words - fit.words) / WORDS_SCALE, WORDS_LIMIT);
  const rival = most(others, ([, fit]) => fit.share)?.[0] ?? "";
  const groundedRival = most(grounded, (fit) => fit.share) ?? NO_FIT;
  return [
    1,
    candidate.cosine ?? 0,
    best(near, cosineOf, isOwn) - best(near, cosineOf, (one) => !isOwn(one)),
    best(near, cosineOf, isOwn) - best(near, cosineOf, isUngrounded),
    candidate.lexical,
    best(near, lexicalOf, isOwn) - best(near, lexicalOf, isUngrounded),
    logit(records.entry(entry.id)),
    logit(records.confusion(rest, rival)),
    foundAt(found, entry.documents, true),
    foundAt(found, entry.documents, false),
    own.cosine ?? 0,
    own.cosine === undefined ? 0 : over((fit) => fit.cosine ?? 0),
    grounded.length === 0 ? LIMIT : Math.min(...grounded.map(ahead)),
    ungrounded ? ahead(ungrounded) : LIMIT,
    sized(own),
    Math.min(3, situation.remarks) / 3,
    own.share,
    over((fit) => fit.share),
    own.share - (ungrounded?.share ?? 0),
    over((fit) => fit.closeShare),
    situation.novelty,
    situation.wordNovelty,
    situation.doubt(rest),
    sized(groundedRival),
    scaled(situation.entries, ENTRIES),
    scaled(situation.length, WORDS),
  ];
}

const NO_FIT: Fit = { size: 0, cosine: undefined, words: 0, share: 0, closeShare: 0 };

const sized = ({ size }: Fit): number => Math.log1p(size) / 5;

/** From 0 to 1, by orders of size. */
const scaled = (count: number, most: number): number => Math.min(1, Math.log1p(count) / Math.log1p(most));

/** The first that has most of it. */
export function most<T>(list: readonly T[], of: (one: T) => number): T | undefined {
  let top: T | undefined;
  for (const one of list) if (top === undefined || of(one) > of(top)) top = one;
  return top;
}

const cosineOf = (one: Near): number => one.cosine ?? 0;
const lexicalOf = (one: Near): number => one.lexical;

function best(near: readonly Near[], of: (one: Near) => number, where: (one: Near) => boolean): number {
  let most = 0;
  for (const one of near) if (where(one)) most = Math.max(most, of(one));
  return most;
}

const LIMIT = 1.5;
const clipped = (x: number, limit = LIMIT): number => Math.max(-limit, Math.min(limit, x));
/** A share on the scale on which evidence adds up. */
const logit = (share: number): number => clipped(Math.log((share + 0.001) / (1 - share + 0.001)) / 4);

/** How early retrieval found one of the documents, or one that is none of them. */
function foundAt(
  found: readonly DocumentRef[] | undefined,
  documents: readonly DocumentRef[],
  own: boolean,
): number {
  const isOwn = (one: DocumentRef): boolean =>
    documents.some(({ collection, document }) => collection === one.collection && document === one.document);
  const at = found?.findIndex((one) => isOwn(one) === own) ?? -1;
  return at < 0 ? 0 : 1 / (1 + at);
}
