/** Random ids from bytes that were drawn by the kilobyte: a draw from the system costs 3 us, and a request needs three. */
import { randomFillSync } from "node:crypto";

const pool = Buffer.allocUnsafe(4_096);
let at = pool.length;

/** So many random bytes as text. Each byte is used once. */
export function randomText(bytes: number, encoding: "hex" | "base64url"): string {
  if (at + bytes > pool.length) {
    randomFillSync(pool);
    at = 0;
  }
  at += bytes;
  return pool.toString(encoding, at - bytes, at);
}
