/** Nearest vectors by cosine. Items are numbers given by the caller, dense from 0; vectors have unit length. */
import { insert } from "./lexical-index.ts";

export class VectorIndex {
  #dimensions = 0;
  #rows = new Float32Array(0);
  #present: boolean[] = [];

  add(item: number, vector: Float32Array): void {
    if (this.#dimensions === 0) this.#dimensions = vector.length;
    if (vector.length !== this.#dimensions) return;
    const from = item * this.#dimensions;
    if (from + this.#dimensions > this.#rows.length) {
      const rows = new Float32Array(Math.max(64 * this.#dimensions, 2 * (from + this.#dimensions)));
      rows.set(this.#rows);
      this.#rows = rows;
    }
    this.#rows.set(vector, from);
    this.#present[item] = true;
  }

  remove(item: number): void {
    this.#present[item] = false;
  }

  /** Undefined where the item has no vector, or one of another model. */
  similarity(vector: Float32Array, item: number): number | undefined {
    if (!this.#present[item] || vector.length !== this.#dimensions) return undefined;
    const from = item * this.#dimensions;
    let sum = 0;
    for (let n = 0; n < vector.length; n++) sum += (vector[n] as number) * (this.#rows[from + n] as number);
    return sum;
  }

  /** Best first, at most `limit`. */
  search(vector: Float32Array, limit: number): { item: number; score: number }[] {
    const best: { item: number; score: number }[] = [];
    for (let item = 0; item < this.#present.length; item++) {
      const score = this.similarity(vector, item);
      if (score !== undefined) insert(best, { item, score }, limit);
    }
    return best;
  }
}
