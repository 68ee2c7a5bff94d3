// Chance that can be repeated: everything a fault run decides comes from its seed.
export interface Random {
  /** In [0, 1). */
  next(): number;
  /** A whole number from `from` to `to`, both included. */
  int(from: number, to: number): number;
  pick<T>(values: readonly T[]): T;
  shuffle<T>(values: readonly T[]): T[];
  /** True once in `n` times on average. */
  oneIn(n: number): boolean;
  /** An independent source: what one part draws does not change what another part gets. */
  fork(name: string): Random;
}

/** Source: mulberry32 by Tommy Ettinger. */
export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const int = (from: number, to: number): number => from + Math.floor(next() * (to - from + 1));
  return {
    next,
    int,
    pick: (values) => {
      if (values.length === 0) throw new Error("nothing to pick from");
      return values[int(0, values.length - 1)] as (typeof values)[number];
    },
    shuffle: (values) => {
      const result = [...values];
      for (let i = result.length - 1; i > 0; i--) {
        const j = int(0, i);
        [result[i], result[j]] = [result[j] as (typeof result)[number], result[i] as (typeof result)[number]];
      }
      return result;
    },
    oneIn: (n) => next() * n < 1,
    fork: (name) => {
      let hash = seed;
      for (const char of name) hash = (Math.imul(hash, 31) + (char.codePointAt(0) ?? 0)) | 0;
      return randomOf(hash);
    },
  };
}
