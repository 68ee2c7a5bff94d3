/** Approximate nearest neighbours. The one file that knows usearch (HNSW of Malkov and Yashunin, 2016). */
import type { Index } from "usearch";

export interface Graph {
  add(id: number, vector: Float32Array): void;
  remove(id: number): void;
  /** Ids with their cosines, nearest first. */
  search(vector: Float32Array, limit: number): { id: number; score: number }[];
}

/**
 * Half precision halves the memory and costs no recall that can be measured here. Adding looks half as far around as the
 * library would by itself, which takes less than half the time, and searching twice as far.
 */
const CONNECTIVITY = 16;
const ADD_WIDTH = 64;
const SEARCH_WIDTH = 128;

/** Rejects where the library has no build for this machine. */
export async function graphFactory(): Promise<(dimensions: number) => Graph> {
  const { Index, MetricKind, ScalarKind } = await import("usearch");
  return (dimensions) =>
    new UsearchGraph(
      new Index({
        dimensions,
        metric: MetricKind.IP,
        quantization: ScalarKind.F16,
        connectivity: CONNECTIVITY,
        expansion_add: ADD_WIDTH,
        expansion_search: SEARCH_WIDTH,
        multi: false,
      }),
    );
}

class UsearchGraph implements Graph {
  readonly #index: Index;

  constructor(index: Index) {
    this.#index = index;
  }

  add(id: number, vector: Float32Array): void {
    this.#index.add(BigInt(id), vector, 1);
  }

  remove(id: number): void {
    this.#index.remove(BigInt(id));
  }

  search(vector: Float32Array, limit: number): { id: number; score: number }[] {
    if (this.#index.size() === 0) return [];
    const { keys, distances } = this.#index.search(vector, limit, 1);
    // Inner product as a distance is 1 minus the product.
    return [...keys].map((key, n) => ({ id: Number(key), score: 1 - (distances[n] as number) }));
  }
}
