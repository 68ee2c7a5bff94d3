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
  "lexicalMargin",
  "lexicalOverUngrounded",
  "votes",
  "support",
  "record",
  "restRecord",
  "found",
  "known",
  "meanCosine",
  "meanCosineMargin",
  "wordsMargin",
  "wordsOverUngrounded",
  "confusion",
  "size",
  "agree",
  "remarks",
  "share",
  "shareMargin",
  "shareOverUngrounded",
  "novelty",
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
  /** Lessons in which any entry of this rest was right. */
  rest(rest: string): number;
  /** Low where the model answered from `other` when an entry of `rest` was the candidate. */
  confusion(rest: string, other: string): number;
}

/** Votes fall to a third over this difference of nearness. */
const VOTE_WIDTH = 0.07;
const NEAREST = 12;
/** A natural logarithm of likelihoods over this is about 1. */
const WORDS_SCALE = 8;

export interface Vote {
  readonly rest: string;
  readonly share: number;
}

/** Shares of votes by what the neighbours rest on, largest first. */
export function votesOf(near: readonly Near[]): Vote[] {
  const best = near[0]?.score ?? 0;
  const votes = new Map<string, number>();
  let all = 0;
  for (const { rest, score } of near.slice(0, NEAREST)) {
    const vote = Math.exp((score - best) / VOTE_WIDTH);
    votes.set(rest, (votes.get(rest) ?? 0) + vote);
    all += vote;
  }
  return [...votes].map(([rest, vote]) => ({ rest, share: vote / all })).sort((a, b) => b.share - a.share);
}

export interface Situation {
  readonly near: readonly Near[];
  readonly votes: readonly Vote[];
  /** Of every rest that has votes. */
  readonly fits: ReadonlyMap<string, Fit>;
  readonly records: Records;
  /** Share of the question's words that the scope has seen. */
  readonly known: number;
  readonly found: readonly DocumentRef[] | undefined;
  /** Words that narrow a noun in one of both questions. */
  readonly remarks: number;
  /** How much of the question no other is like. */
  readonly novelty: number;
}

export function measure(candidate: Near, situation: Situation): number[] {
  const { near, votes, fits, records, known, found } = situation;
  const { rest, entry } = candidate;
  const isSame = (one: Near): boolean => one.rest === rest;
  const isOther = (one: Near): boolean => one.rest !== rest && one.rest !== "";
  const isUngrounded = (one: Near): boolean => one.rest === "";
  const cosine = best(near, cosineOf, isSame);
  const lexical = best(near, lexicalOf, isSame);
  const own = fits.get(rest) ?? { size: 0, cosine: undefined, words: 0, share: 0 };
  const others = [...fits].filter(([of]) => of !== rest && of !== "").map(([, fit]) => fit);
  const ungrounded = fits.get("");
  const runnerUp = votes.find((vote) => vote.rest !== rest)?.rest ?? "";
  const ahead = (words: number): number => clipped((own.words - words) / WORDS_SCALE);
  return [
    1,
    candidate.cosine ?? 0,
    cosine - best(near, cosineOf, isOther),
    cosine - best(near, cosineOf, isUngrounded),
    candidate.lexical,
    lexical - best(near, lexicalOf, isOther),
    lexical - best(near, lexicalOf, isUngrounded),
    logit(votes.find((vote) => vote.rest === rest)?.share ?? 0),
    near.slice(0, NEAREST).filter(isSame).length / NEAREST,
    logit(records.entry(entry.id)),
    logit(records.rest(rest)),
    foundAt(entry.documents, found),
    known,
    own.cosine ?? 0,
    own.cosine === undefined ? 0 : own.cosine - Math.max(0, ...others.map((fit) => fit.cosine ?? 0)),
    others.length === 0 ? LIMIT : ahead(Math.max(...others.map((fit) => fit.words))),
    ungrounded ? ahead(ungrounded.words) : LIMIT,
    logit(records.confusion(rest, runnerUp)),
    Math.log(1 + own.size) / 5,
    agrees(near, candidate) ? 1 : 0,
    Math.min(3, situation.remarks) / 3,
    own.share,
    own.share - Math.max(0, ...others.map((fit) => fit.share)),
    own.share - (ungrounded?.share ?? 0),
    situation.novelty,
  ];
}

const cosineOf = (one: Near): number => one.cosine ?? 0;
const lexicalOf = (one: Near): number => one.lexical;

function best(near: readonly Near[], of: (one: Near) => number, where: (one: Near) => boolean): number {
  let most = 0;
  for (const one of near) if (where(one)) most = Math.max(most, of(one));
  return most;
}

/** Is the nearest by vector and the nearest by words of the candidate's rest? */
function agrees(near: readonly Near[], { rest, cosine }: Near): boolean {
  const nearest = (of: (one: Near) => number): string | undefined =>
    near.reduce<Near | undefined>((top, one) => (top && of(top) >= of(one) ? top : one), undefined)?.rest;
  return nearest(lexicalOf) === rest && (cosine === undefined || nearest(cosineOf) === rest);
}

const LIMIT = 1.5;
const clipped = (x: number): number => Math.max(-LIMIT, Math.min(LIMIT, x));
/** A share on the scale on which evidence adds up. */
const logit = (share: number): number => clipped(Math.log((share + 0.001) / (1 - share + 0.001)) / 4);

function foundAt(documents: readonly DocumentRef[], found: readonly DocumentRef[] | undefined): number {
  const at =
    found?.findIndex((one) =>
      documents.some(
        ({ collection, document }) => collection === one.collection && document === one.document,
      ),
    ) ?? -1;
  return at < 0 ? 0 : 1 / (1 + at);
}
