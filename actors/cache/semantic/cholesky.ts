/** Solves for a symmetric positive matrix by Cholesky's factors: its lower triangle counts, and is overwritten. */
export function solve(matrix: Float64Array[], right: Float64Array): Float64Array {
  const size = right.length;
  for (const [i, row] of matrix.entries())
    for (let j = 0; j <= i; j++) {
      const other = matrix[j] as Float64Array;
      let sum = row[j] as number;
      for (let k = 0; k < j; k++) sum -= (row[k] as number) * (other[k] as number);
      row[j] = i === j ? Math.sqrt(Math.max(sum, 1e-9)) : sum / (other[j] as number);
    }
  const at = (i: number, j: number): number => (matrix[i] as Float64Array)[j] as number;
  const x = Float64Array.from(right);
  for (let i = 0; i < size; i++) {
    let sum = x[i] as number;
    for (let k = 0; k < i; k++) sum -= at(i, k) * (x[k] as number);
    x[i] = sum / at(i, i);
  }
  for (let i = size - 1; i >= 0; i--) {
    let sum = x[i] as number;
    for (let k = i + 1; k < size; k++) sum -= at(k, i) * (x[k] as number);
    x[i] = sum / at(i, i);
  }
  return x;
}
