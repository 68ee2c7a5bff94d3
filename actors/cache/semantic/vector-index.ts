/**
 * Nearest vectors by cosine; vectors have unit length, items are numbers given by the caller. Few are compared one by
 * one, many by the graph of usearch: the one file that knows it.
 */
import { Index, MetricKind, ScalarKind } from "usearch";
import { rowAt } from "./cholesky.ts";
import { type Hit, insert } from "./lexical-index.ts";

/** Up to so many, comparing all is as fast as the graph, and exact. */
const EXACT = 1_500;
/** How widely the graph is searched for the place of a vector, and for the nearest of a question. */
const EXPANSION = { add: 96, search: 128 };
/**
 * The graph keeps a byte a dimension: half the memory that a walk has to touch, and half the time to build. What it takes
 * for nearest is compared again by the vectors themselves, and of so many times as many as are wanted the nearest are kept.
 */
const AGAIN = 4 / 3;

export class VectorIndex {
  readonly #vectors = new Map<number, Float32Array>();
  #graph: Index | undefined;
  /** Keys in the graph by item, and items by key. */
  readonly #keys = new Map<number, number>();
  readonly #items: number[] = [];
  /** Given out again before new ones: the library's table of keys never forgets one, and when full it searches for ever. */
  readonly #free: number[] = [];
  #dimensions = 0;

  /** A vector of another length than those that are held is of another model, and is not taken. */
  add(item: number, vector: Float32Array): void {
    if (this.#vectors.size === 0) this.#begin(vector.length);
    if (vector.length !== this.#dimensions) return;
    this.#vectors.set(item, vector);
    this.#graph ??= new Index({
      dimensions: this.#dimensions,
      metric: MetricKind.IP,
      quantization: ScalarKind.I8,
      connectivity: 16,
      expansion_add: EXPANSION.add,
      expansion_search: EXPANSION.search,
      multi: false,
    });
    // One thread: a pool of them a vector takes longer than the vector.
    const key = this.#free.pop() ?? this.#items.length;
    this.#keys.set(item, key);
    this.#items[key] = item;
    this.#graph.add(BigInt(key), vector, 1);
  }

  #begin(dimensions: number): void {
    if (dimensions === this.#dimensions) return;
    this.#dimensions = dimensions;
    this.#graph = undefined;
    this.#items.length = 0;
    this.#free.length = 0;
  }

  /** The vector of an item, where it was taken. */
  of(item: number): Float32Array | undefined {
    return this.#vectors.get(item);
  }

  remove(item: number): void {
    const key = this.#keys.get(item);
    if (key === undefined) return;
    this.#vectors.delete(item);
    this.#keys.delete(item);
    this.#graph?.remove(BigInt(key));
    this.#free.push(key);
  }

  /** Undefined where the item has no vector, or one of another model. */
  similarity(vector: Float32Array, item: number): number | undefined {
    const other = this.#vectors.get(item);
    return other && other.length === vector.length ? product(vector, other) : undefined;
  }

  /** Cosines of each of these items with those before it: a lower triangle, its diagonal 0. */
  among(items: readonly number[]): Float64Array {
    const vectors = items.map((item) => this.#vectors.get(item));
    const cosines = new Float64Array(rowAt(items.length));
    vectors.forEach((one, row) => {
      if (!one) return;
      const from = rowAt(row);
      for (let column = 0; column < row; column++) {
        const other = vectors[column];
        if (other) cosines[from + column] = product(one, other);
      }
    });
    return cosines;
  }

  /** The nearest items with their cosines, nearest first, at most `limit`. */
  search(vector: Float32Array, limit: number): Hit[] {
    const best: Hit[] = [];
    if (vector.length !== this.#dimensions) return best;
    const compare = (item: number, other: Float32Array): void =>
      insert(best, { item, score: product(vector, other) }, limit);
    if (this.#vectors.size <= EXACT || !this.#graph)
      for (const [item, other] of this.#vectors) compare(item, other);
    else
      for (const key of this.#graph.search(vector, Math.ceil(AGAIN * limit), 1).keys) {
        const item = this.#items[Number(key)] as number;
        const other = this.#vectors.get(item);
        if (other) compare(item, other);
      }
    return best;
  }
}

/** Four sums at once, as no addition then waits for the one before it. */
function product(one: Float32Array, other: Float32Array): number {
  const whole = one.length - (one.length % 4);
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  for (let n = 0; n < whole; n += 4) {
    a += (one[n] as number) * (other[n] as number);
    b += (one[n + 1] as number) * (other[n + 1] as number);
    c += (one[n + 2] as number) * (other[n + 2] as number);
    d += (one[n + 3] as number) * (other[n + 3] as number);
  }
  for (let n = whole; n < one.length; n++) a += (one[n] as number) * (other[n] as number);
  return a + b + c + d;
}
