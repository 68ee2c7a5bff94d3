/**
 * The vectors of one tenant, collection and language. The first thousands are compared one by one, which is exact and
 * quick; what comes after them is found through a graph.
 */
import { dotAt } from "../embeddings/unit-length.ts";
import type { Graph } from "./graph.ts";

/** Comparing so many of 384 numbers takes about 2 ms of CPU. */
export const EXACT_MOST = 1_000;
const FIRST_ROWS = 16;

/** A vector's place, in the hands of its owner. */
export interface Place<T> {
  readonly of: T;
  /** In the graph; -1 among the exact ones. */
  readonly id: number;
  /** Row among the exact ones; -1 in the graph. */
  row: number;
}

export class Partition<T> {
  readonly #dimensions: number;
  readonly #makeGraph: ((dimensions: number) => Graph) | undefined;
  readonly #exactMost: number;
  /** Rows of the exact part, one after the other. */
  #rows: Float32Array;
  readonly #rowPlaces: Place<T>[] = [];
  #graph: Graph | undefined;
  readonly #graphPlaces = new Map<number, Place<T>>();
  #ids = 0;
  /** Given out again before new ones: the graph's table of ids never forgets one, and when full it searches for ever. */
  readonly #freeIds: number[] = [];

  /** @param makeGraph without it everything is compared */
  constructor(
    dimensions: number,
    makeGraph: ((dimensions: number) => Graph) | undefined,
    exactMost = EXACT_MOST,
  ) {
    this.#dimensions = dimensions;
    this.#makeGraph = makeGraph;
    this.#exactMost = exactMost;
    this.#rows = new Float32Array(FIRST_ROWS * dimensions);
  }

  get size(): number {
    return this.#rowPlaces.length + this.#graphPlaces.size;
  }

  add(of: T, vector: Float32Array): Place<T> {
    if (this.#makeGraph && this.#rowPlaces.length >= this.#exactMost) {
      const place: Place<T> = { of, id: this.#freeIds.pop() ?? this.#ids++, row: -1 };
      this.#graph ??= this.#makeGraph(this.#dimensions);
      this.#graph.add(place.id, vector);
      this.#graphPlaces.set(place.id, place);
      return place;
    }
    const place: Place<T> = { of, id: -1, row: this.#rowPlaces.length };
    this.#grow(place.row + 1);
    this.#rows.set(vector, place.row * this.#dimensions);
    this.#rowPlaces.push(place);
    return place;
  }

  remove(place: Place<T>): void {
    this.#take(place);
    if (this.size > 0) return;
    // Where a model was replaced, its vectors are out one after the other, and nothing comes back here.
    this.#rows = new Float32Array(FIRST_ROWS * this.#dimensions);
    this.#graph = undefined;
    this.#freeIds.length = 0;
    this.#ids = 0;
  }

  #take(place: Place<T>): void {
    if (place.row < 0) {
      this.#graph?.remove(place.id);
      this.#graphPlaces.delete(place.id);
      this.#freeIds.push(place.id);
      return;
    }
    const last = this.#rowPlaces.pop();
    if (last === undefined || last === place) return;
    this.#rows.copyWithin(
      place.row * this.#dimensions,
      last.row * this.#dimensions,
      (last.row + 1) * this.#dimensions,
    );
    last.row = place.row;
    this.#rowPlaces[place.row] = last;
  }

  /** Best first, at most `limit`. */
  search(vector: Float32Array, limit: number): { of: T; score: number }[] {
    const best: { of: T; score: number }[] = [];
    const take = (of: T, score: number): void => {
      if (best.length === limit && score <= (best[limit - 1] as { score: number }).score) return;
      let at = best.length;
      while (at > 0 && (best[at - 1] as { score: number }).score < score) at--;
      best.splice(at, 0, { of, score });
      if (best.length > limit) best.pop();
    };
    for (const [row, { of }] of this.#rowPlaces.entries())
      take(of, dotAt(this.#rows, row * this.#dimensions, vector));
    for (const { id, score } of this.#graph?.search(vector, limit) ?? []) {
      const place = this.#graphPlaces.get(id);
      if (place) take(place.of, score);
    }
    return best;
  }

  #grow(rows: number): void {
    if (rows * this.#dimensions <= this.#rows.length) return;
    const grown = new Float32Array(2 * this.#rows.length);
    grown.set(this.#rows);
    this.#rows = grown;
  }
}
