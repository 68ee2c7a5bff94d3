/**
 * Vectors as IEEE 754 half precision, little-endian: half the bytes, and a cosine of unit vectors moves by 0.0002 at
 * most. Node 22 has no Float16Array, so the conversion is ours.
 */

/** Every half-precision number as a float; decoding is one look-up. */
const FLOATS = allHalves();

/** Put together as bits, of which only the exponent's zero point differs: computed as numbers, each start took 10 ms. */
function allHalves(): Float32Array {
  const floats = new Float32Array(65_536);
  const bits = new Uint32Array(floats.buffer);
  for (let half = 0; half < bits.length; half++) {
    const exponent = half & 0x7c00;
    const moved = ((half & 0x8000) << 16) | ((half & 0x7fff) << 13);
    if (exponent === 0) floats[half] = (half & 0x8000 ? -1 : 1) * (half & 0x3ff) * 2 ** -24;
    else bits[half] = exponent === 0x7c00 ? moved | 0x7f800000 : moved + (112 << 23);
  }
  return floats;
}

const float = new Float32Array(1);
const bitsOf = new Uint32Array(float.buffer);

/** Rounds to the nearest half-precision number, ties to even. */
function halfOf(value: number): number {
  float[0] = value;
  const bits = bitsOf[0] as number;
  const sign = (bits >>> 16) & 0x8000;
  const exponent = ((bits >>> 23) & 0xff) - 127;
  const fraction = bits & 0x7fffff;
  if (exponent === 128) return sign | 0x7c00 | (fraction ? 0x200 : 0);
  if (exponent > 15) return sign | 0x7c00;
  if (exponent >= -14) return sign | roundedShift(((exponent + 15) << 23) | fraction, 13);
  // Subnormal: the implicit bit becomes visible and moves right.
  return exponent < -25 ? sign : sign | roundedShift(fraction | 0x800000, -exponent - 1);
}

function roundedShift(bits: number, by: number): number {
  const kept = bits >>> by;
  const rest = bits & (2 ** by - 1);
  const half = 2 ** (by - 1);
  return rest > half || (rest === half && kept & 1) ? kept + 1 : kept;
}

export function encodeHalf(vector: Float32Array): Uint8Array {
  const bytes = new Uint8Array(vector.length * 2);
  for (let i = 0; i < vector.length; i++) {
    const half = halfOf(vector[i] as number);
    bytes[2 * i] = half & 0xff;
    bytes[2 * i + 1] = half >>> 8;
  }
  return bytes;
}

/** Reads `count` numbers from `offset` bytes on. */
export function decodeHalf(
  bytes: Uint8Array,
  offset = 0,
  count = (bytes.length - offset) >> 1,
): Float32Array {
  const vector = new Float32Array(count);
  for (let i = 0, at = offset; i < count; i++, at += 2)
    vector[i] = FLOATS[(bytes[at] as number) | ((bytes[at + 1] as number) << 8)] as number;
  return vector;
}
