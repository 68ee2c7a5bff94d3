/** Bytes on their way to a socket, in the shape of nats.js' buffer: written where they are handed over from, copied once. */

/** Much more than a turn of the event loop publishes in most processes. */
const BLOCK_BYTES = 64 * 1024;

export class Outbound {
  /** What was handed over stays untouched: the rest of a block is the next one's. */
  #block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  #used = 0;

  size(): number {
    return this.#used;
  }

  /** nats.js counts parts, and asks whether there are any. */
  length(): number {
    return this.#used;
  }

  say(text: string): void {
    // Three bytes a character are the most that UTF-8 needs of what a string counts as one.
    this.#makeRoom(text.length * 3);
    this.#used += this.#block.write(text, this.#used);
  }

  fill(...parts: Uint8Array[]): void {
    for (const part of parts) {
      this.#makeRoom(part.length);
      this.#block.set(part, this.#used);
      this.#used += part.length;
    }
  }

  /** All there is; the caller may keep it. */
  drain(): Uint8Array {
    const bytes = this.#block.subarray(0, this.#used);
    this.#block = this.#block.subarray(this.#used);
    this.#used = 0;
    return bytes;
  }

  reset(): void {
    this.#used = 0;
  }

  #makeRoom(bytes: number): void {
    const needed = this.#used + bytes;
    if (needed <= this.#block.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(BLOCK_BYTES, 2 * needed));
    larger.set(this.#block.subarray(0, this.#used));
    this.#block = larger;
  }
}
