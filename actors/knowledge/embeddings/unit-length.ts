/** Vectors of length 1, so that a dot product is a cosine. */

/** Scales in place. Undefined for what has no direction: nothing, zeros, NaN. */
export function unitLength(vector: Float32Array | undefined): Float32Array | undefined {
  if (!vector || vector.length === 0) return undefined;
  let squares = 0;
  for (const x of vector) squares += x * x;
  const length = Math.sqrt(squares);
  if (!Number.isFinite(length) || length === 0) return undefined;
  // Scaling what is of unit length already would only add rounding.
  if (Math.abs(length - 1) > 1e-6)
    for (let i = 0; i < vector.length; i++) vector[i] = (vector[i] as number) / length;
  return vector;
}

/** The cosine of two vectors of unit length. */
export const dot = (a: Float32Array, b: Float32Array): number => dotAt(a, 0, b);

/**
 * The same with a row of many that stand one after the other. Four sums at once, as no addition then waits for the one
 * before it.
 */
export function dotAt(rows: Float32Array, from: number, vector: Float32Array): number {
  const whole = vector.length - (vector.length % 4);
  let [a, b, c, d] = [0, 0, 0, 0];
  for (let i = 0; i < whole; i += 4) {
    a += (rows[from + i] as number) * (vector[i] as number);
    b += (rows[from + i + 1] as number) * (vector[i + 1] as number);
    c += (rows[from + i + 2] as number) * (vector[i + 2] as number);
    d += (rows[from + i + 3] as number) * (vector[i + 3] as number);
  }
  for (let i = whole; i < vector.length; i++) a += (rows[from + i] as number) * (vector[i] as number);
  return a + b + c + d;
}
