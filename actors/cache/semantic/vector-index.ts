/**
 * Nearest vectors by cosine; vectors have unit length, items are numbers given by the caller. Few are compared one by
 * one, many by the graph of usearch: the one file that knows it.
 */
import { Index, MetricKind, ScalarKind } from "usearch";
import { type Hit, insert } from "./lexical-index.ts";

/** Up to so many, comparing all is as fast as the graph, and exact. */
const EXACT = 1_500;
/** How widely the graph is searched. */
const EXPANSION = 96;

export class VectorIndex {
  readonly #vectors = new Map<number, Float32Array>();
  #graph: Index | undefined;
  /** Keys in the graph by item, and items by key. */
  readonly #keys = new Map<number, number>();
  readonly #items: number[] = [];
  /** Given out again before new ones: the library's table of keys never forgets one, and when full it searches for ever. */
  readonly #free: number[] = [];
  #dimensions = 0;

  /** A vector of another length than the first is of another model, and is not taken. */
  add(item: number, vector: Float32Array): void {
    this.#dimensions ||= vector.length;
    if (vector.length !== this.#dimensions) return;
    this.#vectors.set(item, vector);
    this.#graph ??= new Index({
      dimensions: this.#dimensions,
      metric: MetricKind.IP,
      quantization: ScalarKind.F16,
      connectivity: 16,
      expansion_add: EXPANSION,
      expansion_search: EXPANSION,
      multi: false,
    });
    // One thread: a pool of them a vector takes longer than the vector.
    const key = this.#free.pop() ?? this.#items.length;
    this.#keys.set(item, key);
    this.#items[key] = item;
    this.#graph.add(BigInt(key), vector, 1);
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

  /** Cosines of each of these items with those before it. */
  among(items: readonly number[]): number[][] {
    const vectors = items.map((item) => this.#vectors.get(item));
    return vectors.map((one, row) =>
      vectors.slice(0, row).map((other) => (one && other ? product(one, other) : 0)),
    );
  }

  /** The nearest items, at most `limit`. */
  search(vector: Float32Array, limit: number): number[] {
    if (vector.length !== this.#dimensions) return [];
    if (this.#vectors.size > EXACT && this.#graph)
      return [...this.#graph.search(vector, limit, 1).keys].flatMap((key) => {
        const item = this.#items[Number(key)];
        return item !== undefined && this.#vectors.has(item) ? [item] : [];
      });
    const best: Hit[] = [];
    for (const [item, other] of this.#vectors) insert(best, { item, score: product(vector, other) }, limit);
    return best.map(({ item }) => item);
  }
}

/** Four sums at once, as no addition then waits for the one before it. */
function product(one: Float32Array, other: Float32Array): number {
  const whole = one.length - (one.length % 4);
  let [a, b, c, d] = [0, 0, 0, 0];
  for (let n = 0; n < whole; n += 4) {
    a += (one[n] as number) * (other[n] as number);
    b += (one[n + 1] as number) * (other[n + 1] as number);
    c += (one[n + 2] as number) * (other[n + 2] as number);
    d += (one[n + 3] as number) * (other[n + 3] as number);
  }
  for (let n = whole; n < one.length; n++) a += (one[n] as number) * (other[n] as number);
  return a + b + c + d;
}
