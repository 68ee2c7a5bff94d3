/** What is measured of a candidate: how near it is, and what else is as near. */
import type { DocumentRef, SemanticEntry } from "./port.ts";

/** The order of `Trial.features`. All about 0 to 1. */
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
  "documentRecord",
  "found",
  "known",
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

export interface Records {
  /** Share of lessons in which the entry was right, from 0 to 1; 0.5 for none. */
  entry(id: string): number;
  rest(rest: string): number;
}

/** Votes fall to a third over this difference of nearness. */
const VOTE_WIDTH = 0.06;
const NEAREST = 12;

export interface Weighed {
  readonly rest: string;
  readonly share: number;
}

/** Shares of votes by what the neighbours rest on, largest first. */
export function votesOf(near: readonly Near[]): Weighed[] {
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

export function measure(
  candidate: Near,
  near: readonly Near[],
  records: Records,
  known: number,
  found: readonly DocumentRef[] | undefined,
): number[] {
  const top = (of: (one: Near) => number | undefined, where: (one: Near) => boolean): number =>
    near.reduce((best, one) => (where(one) ? Math.max(best, of(one) ?? 0) : best), 0);
  const same = (one: Near): boolean => one.rest === candidate.rest;
  const other = (one: Near): boolean => one.rest !== candidate.rest && one.rest !== "";
  const ungrounded = (one: Near): boolean => one.rest === "";
  const cosine = (one: Near): number | undefined => one.cosine;
  const lexical = (one: Near): number => one.lexical;
  const [cos, lex] = [top(cosine, same), top(lexical, same)];
  const votes = votesOf(near).find(({ rest }) => rest === candidate.rest)?.share ?? 0;
  const support = near.slice(0, NEAREST).filter(same).length / NEAREST;
  return [
    1,
    candidate.cosine ?? 0,
    cos - top(cosine, other),
    cos - top(cosine, ungrounded),
    candidate.lexical,
    lex - top(lexical, other),
    lex - top(lexical, ungrounded),
    votes,
    support,
    records.entry(candidate.entry.id),
    records.rest(candidate.rest),
    foundAt(candidate.entry.documents, found),
    known,
  ];
}

function foundAt(documents: readonly DocumentRef[], found: readonly DocumentRef[] | undefined): number {
  if (!found) return 0;
  const at = found.findIndex((one) =>
    documents.some(({ collection, document }) => collection === one.collection && document === one.document),
  );
  return at < 0 ? 0 : 1 / (1 + at);
}
