/**
 * How much a question is of each answer: kernel ridge regression over its nearest questions, with one target an answer.
 * Neighbours that say the same count once, and where two answers lie close together only that counts in which they
 * differ: neither is seen by nearness alone. Looked at anew a question, so nothing is kept, and what goes leaves nothing.
 */
import { type Factored, factored, rowAt } from "./cholesky.ts";

/** What the belief that nothing tells anything weighs, in questions. */
const RIDGE = 0.1;

/** What is told of one question. */
export interface Shares {
  /** How much of it no neighbour is like: from 0 to 1. */
  readonly novelty: number;
  /** How much it is of this answer: 1 for surely, 0 for not at all. */
  of(rest: string): number;
  /** How badly the neighbours would be told from each other, were each asked without its own answer known: mean square. */
  doubt(rest: string): number;
}

export interface Neighbours {
  /** What each rests on. */
  readonly rests: readonly string[];
  /** Cosine of the question with each. */
  readonly own: readonly number[];
  /** Of each with those before it and itself: a lower triangle. */
  readonly among: Float64Array;
  /** How fast alikeness falls with the cosine. */
  readonly steepness: number;
}

export function sharesOf({ rests, own, among, steepness }: Neighbours): Shares {
  const size = rests.length;
  const alike = (cosine: number): number => Math.exp(steepness * (cosine - 1));
  const asked = new Float64Array(size);
  const matrix = new Float64Array(rowAt(size));
  for (let row = 0; row < size; row++) {
    const [from, to] = [rowAt(row), rowAt(row) + row];
    for (let at = from; at < to; at++) matrix[at] = alike(among[at] as number);
    matrix[to] = 1 + RIDGE;
    asked[row] = alike(own[row] as number);
  }
  const factors = factored(matrix, size);
  const weights = factors.solve(asked);
  const shares = new Map<string, number>();
  let explained = 0;
  for (const [n, rest] of rests.entries()) {
    const weight = weights[n] as number;
    shares.set(rest, (shares.get(rest) ?? 0) + weight);
    explained += weight * (asked[n] as number);
  }
  return {
    novelty: 1 - explained,
    of: (rest) => shares.get(rest) ?? 0,
    doubt: (rest) =>
      leftOut(
        factors,
        Float64Array.from(rests, (one) => (one === rest ? 1 : 0)),
        weights,
      ),
  };
}

/**
 * What each would be taken for without its own label follows from the inverse of the whole matrix; the square of the
 * error counts by its variance, and by what the neighbour weighs for the question.
 * Source: leave-one-out residuals of Gaussian processes (Rasmussen and Williams, 2006, section 5.4.2).
 */
function leftOut(factors: Factored, labels: Float64Array, weights: Float64Array): number {
  const solved = factors.solve(labels);
  const variance = factors.inverseDiagonal();
  let sum = 0;
  let all = 0;
  for (let n = 0; n < weights.length; n++) {
    const weight = Math.abs(weights[n] as number);
    sum += (weight * (solved[n] as number) ** 2) / (variance[n] as number);
    all += weight;
  }
  return sum / (all || 1);
}
