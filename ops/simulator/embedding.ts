/** Deterministic unit vectors from hashed words. Similar wording gives near vectors; meaning plays no part. */
import { fnv1a } from "#contracts/ids.ts";

export const DIMENSIONS = 384;

export function embed(text: string, dimensions: number = DIMENSIONS): Float32Array {
  const vector = new Float32Array(dimensions);
  for (const [word] of text.toLowerCase().matchAll(/[\p{L}\p{N}]+/gu)) {
    const hash = fnv1a(word);
    const at = hash % dimensions;
    // One bit of the hash decides the sign, so that colliding words cancel out on average.
    vector[at] = (vector[at] as number) + (hash & 0x8000_0000 ? 1 : -1);
  }
  const length = Math.hypot(...vector);
  if (length === 0) vector[0] = 1;
  else for (let i = 0; i < dimensions; i++) vector[i] = (vector[i] as number) / length;
  return vector;
}

/** As the API sends it: numbers, or little-endian float32 in base64, which is what OpenAI's own client asks for. */
export function encodeVector(vector: Float32Array, format: unknown): number[] | string {
  if (format === "base64")
    return Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString("base64");
  return Array.from(vector);
}
