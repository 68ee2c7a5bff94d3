/**
 * A symmetric positive matrix in Cholesky's factors. Of the matrix the lower triangle is held, row after row in one list:
 * a look-up needs several, and an array a row is what its garbage was made of.
 */
export interface Factored {
  solve(right: Float64Array): Float64Array;
  /** The diagonal of its inverse. */
  inverseDiagonal(): Float64Array;
}

/** Where a row begins in a lower triangle; where the row after the last would is how long the triangle is. */
export const rowAt = (row: number): number => (row * (row + 1)) / 2;

/** The triangle of `size` rows is overwritten. */
export function factored(lower: Float64Array, size: number): Factored {
  for (let i = 0; i < size; i++) {
    const row = rowAt(i);
    for (let j = 0; j < i; j++) {
      const other = rowAt(j);
      let left = lower[row + j] as number;
      for (let k = 0; k < j; k++) left -= (lower[row + k] as number) * (lower[other + k] as number);
      lower[row + j] = left / (lower[other + j] as number);
    }
    let left = lower[row + i] as number;
    for (let k = 0; k < i; k++) left -= (lower[row + k] as number) ** 2;
    lower[row + i] = Math.sqrt(Math.max(left, 1e-9));
  }
  return {
    solve: (right) => {
      const x = right.slice();
      forward(lower, x, 0);
      for (let i = size - 1; i >= 0; i--) {
        const row = rowAt(i);
        const value = (x[i] as number) / (lower[row + i] as number);
        x[i] = value;
        for (let k = 0; k < i; k++) x[k] = (x[k] as number) - value * (lower[row + k] as number);
      }
      return x;
    },
    inverseDiagonal: () => {
      const x = new Float64Array(size);
      const diagonal = new Float64Array(size);
      for (let n = 0; n < size; n++) {
        x.fill(0);
        x[n] = 1;
        forward(lower, x, n);
        for (let k = n; k < size; k++) diagonal[n] = (diagonal[n] as number) + (x[k] as number) ** 2;
      }
      return diagonal;
    },
  };
}

/** Solves with the lower factor alone, in place; before `from` all is 0. */
function forward(lower: Float64Array, x: Float64Array, from: number): void {
  for (let i = from; i < x.length; i++) {
    const row = rowAt(i);
    let left = x[i] as number;
    for (let k = from; k < i; k++) left -= (lower[row + k] as number) * (x[k] as number);
    x[i] = left / (lower[row + i] as number);
  }
}
