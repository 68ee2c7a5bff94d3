/** Lists of numbers that grow. */

/** A copy that has room for the index `at`, and as much again. */
export function grown<T extends Float32Array | Float64Array | Uint32Array>(
  list: T,
  make: new (length: number) => T,
  at: number,
): T {
  const copy = new make(2 * (at + 1));
  copy.set(list);
  return copy;
}
