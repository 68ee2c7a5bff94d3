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
export function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}
