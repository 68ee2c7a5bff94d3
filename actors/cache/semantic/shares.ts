/**
 * How much a question is of each answer: kernel ridge regression over its nearest questions, with one target an answer.
 * Neighbours that say the same count once, and where two answers lie close together only that counts in which they
 * differ: neither is seen by nearness alone. Looked at anew a question, so nothing is kept, and what goes leaves nothing.
 */
import { solve } from "./cholesky.ts";

/** What the belief that nothing tells anything weighs, in questions. */
const RIDGE = 0.1;

/** What is told of one question. */
export interface Shares {
  /** How much of it no neighbour is like: from 0 to 1. */
  readonly novelty: number;
  /** How much it is of this answer: 1 for surely, 0 for not at all. */
  of(rest: string): number;
}

export interface Neighbours {
  /** What each rests on. */
  readonly rests: readonly string[];
  /** Cosine of the question with each. */
  readonly own: readonly number[];
  /** Of each with those before it. */
  readonly among: readonly (readonly number[])[];
  /** How fast alikeness falls with the cosine. */
  readonly steepness: number;
}

export function sharesOf({ rests, own, among, steepness }: Neighbours): Shares {
  const size = rests.length;
  const alike = (cosine: number): number => Math.exp(steepness * (cosine - 1));
  const asked = Float64Array.from(own, alike);
  const matrix = among.map((cosines, row) => {
    const line = new Float64Array(size);
    for (let column = 0; column < row; column++) line[column] = alike(cosines[column] as number);
    line[row] = 1 + RIDGE;
    return line;
  });
  const weights = solve(matrix, asked.slice());
  const shares = new Map<string, number>();
  let explained = 0;
  for (const [n, rest] of rests.entries()) {
    const weight = weights[n] as number;
    shares.set(rest, (shares.get(rest) ?? 0) + weight);
    explained += weight * (asked[n] as number);
  }
  return { novelty: 1 - explained, of: (rest) => shares.get(rest) ?? 0 };
}
