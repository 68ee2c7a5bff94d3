/**
 * One ranking of several. Reciprocal rank fusion: Cormack, Clarke and Buettcher, SIGIR 2009, with their constant. It
 * needs no common scale, and a BM25 score has none.
 */
const CONSTANT = 60;

/** Each thing once with its fused score, best first; ties in the order of the first ranking. */
export function fuse<T>(rankings: readonly (readonly T[])[]): { of: T; score: number }[] {
  const scores = new Map<T, number>();
  for (const ranking of rankings)
    for (const [rank, of] of ranking.entries())
      scores.set(of, (scores.get(of) ?? 0) + 1 / (CONSTANT + rank + 1));
  return [...scores].map(([of, score]) => ({ of, score })).sort((a, b) => b.score - a.score);
}
