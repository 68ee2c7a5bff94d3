/** A symmetric positive matrix in Cholesky's factors. */
export interface Factored {
  solve(right: Float64Array): Float64Array;
  /** The diagonal of its inverse. */
  inverseDiagonal(): Float64Array;
}

/** The lower triangle of the matrix counts, and is overwritten. */
export function factored(lower: Float64Array[]): Factored {
  for (const [i, row] of lower.entries())
    for (let j = 0; j <= i; j++) {
      const other = lower[j] as Float64Array;
      const sum = without(row, other, row[j] as number, 0, j);
      row[j] = i === j ? Math.sqrt(Math.max(sum, 1e-9)) : sum / (other[j] as number);
    }
  const size = lower.length;
  return {
    solve: (right) => {
      const x = Float64Array.from(right);
      forward(lower, x, 0);
      for (let i = size - 1; i >= 0; i--) {
        const row = lower[i] as Float64Array;
        const value = (x[i] as number) / (row[i] as number);
        x[i] = value;
        for (let k = 0; k < i; k++) x[k] = (x[k] as number) - value * (row[k] as number);
      }
      return x;
    },
    inverseDiagonal: () =>
      Float64Array.from({ length: size }, (_, n) => {
        const x = new Float64Array(size).fill(1, n, n + 1);
        forward(lower, x, n);
        return x.reduce((sum, value) => sum + value * value, 0);
      }),
  };
}

/** Solves with the lower factor alone, in place; before `from` all is 0. */
function forward(lower: readonly Float64Array[], x: Float64Array, from: number): void {
  for (let i = from; i < x.length; i++) {
    const row = lower[i] as Float64Array;
    x[i] = without(row, x, x[i] as number, from, i) / (row[i] as number);
  }
}

/** What is left of `sum` without the products of both from one place to another. */
function without(one: Float64Array, other: Float64Array, sum: number, from: number, to: number): number {
  let left = sum;
  for (let k = from; k < to; k++) left -= (one[k] as number) * (other[k] as number);
  return left;
}
