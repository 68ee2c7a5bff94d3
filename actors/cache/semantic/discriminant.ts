/**
 * How much a question is of each answer: least squares over all questions of a scope, with one target an answer. Where
 * two answers lie close together only that counts in which they differ, which nearness alone does not see. Exact, in
 * whatever order questions come, and each can be taken away again.
 * Source of the method: recursive least squares by the formula of Sherman and Morrison; hashed features as sketches of
 * texts and of long vectors (Weinberger et al., 2009).
 */

/** Numbers a question. Their square is what a scope and a question cost. */
const SIZE = 384;
/** What the belief that nothing tells anything weighs, in questions. */
const RIDGE = 1;

/** What is told of one question. */
export interface Shares {
  /** How much of it no question of the scope is like: from 0 to 1. */
  readonly novelty: number;
  /** How much it is of this answer: 1 for surely, 0 for not at all. */
  of(rest: string): number;
}

export class Discriminant {
  /** Inverse of the belief and the sum of all outer products; symmetric, so rows are columns. */
  readonly #inverse = new Float64Array(SIZE * SIZE);
  /** Sums of the questions of each answer. */
  readonly #sums = new Map<string, { size: number; readonly sum: Float64Array }>();

  constructor() {
    for (let n = 0; n < SIZE; n++) this.#inverse[n * (SIZE + 1)] = 1 / RIDGE;
  }

  /** Adds a sketch of a question with this answer, or with -1 takes it away. */
  count(rest: string, sketch: Float32Array, by: 1 | -1): void {
    const group = this.#sums.get(rest) ?? { size: 0, sum: new Float64Array(SIZE) };
    this.#sums.set(rest, group);
    group.size += by;
    if (group.size === 0) this.#sums.delete(rest);
    for (let n = 0; n < SIZE; n++) group.sum[n] = (group.sum[n] as number) + by * (sketch[n] as number);
    const through = this.#through(sketch);
    const scale = by / (1 + by * product(through, sketch));
    const inverse = this.#inverse;
    for (let row = 0, at = 0; row < SIZE; row++) {
      const factor = scale * (through[row] as number);
      for (let n = 0; n < SIZE; n++, at++)
        inverse[at] = (inverse[at] as number) - factor * (through[n] as number);
    }
  }

  sharesOf(sketch: Float32Array): Shares {
    const through = this.#through(sketch);
    return {
      novelty: RIDGE * product(through, sketch),
      of: (rest) => {
        const sum = this.#sums.get(rest)?.sum;
        return sum ? product(through, sum) : 0;
      },
    };
  }

  #through(sketch: Float32Array): Float64Array {
    const through = new Float64Array(SIZE);
    for (let row = 0; row < SIZE; row++) {
      let [a, b] = [0, 0];
      for (let n = 0, at = row * SIZE; n < SIZE; n += 2, at += 2) {
        a += (this.#inverse[at] as number) * (sketch[n] as number);
        b += (this.#inverse[at + 1] as number) * (sketch[n + 1] as number);
      }
      through[row] = a + b;
    }
    return through;
  }
}

/** A vector as it is where it is short enough, else each of its numbers added to one of those there are. */
export function sketchOfVector(vector: Float32Array): Float32Array {
  if (vector.length === SIZE) return vector;
  const sketch = new Float32Array(SIZE);
  for (let n = 0; n < vector.length; n++) put(sketch, scatter(n), vector[n] as number);
  return unit(sketch);
}

/** Features of a text by name, with their weights. */
export function sketchOfFeatures(features: Iterable<readonly [name: string, weight: number]>): Float32Array {
  const sketch = new Float32Array(SIZE);
  for (const [name, weight] of features) {
    let hash = 2_166_136_261;
    for (let n = 0; n < name.length; n++) hash = Math.imul(hash ^ name.charCodeAt(n), 16_777_619);
    put(sketch, scatter(hash), weight);
  }
  return unit(sketch);
}

function put(sketch: Float32Array, hash: number, value: number): void {
  const at = (hash >>> 1) % SIZE;
  sketch[at] = (sketch[at] as number) + (hash & 1 ? value : -value);
}

/** Source: lowbias32 (Wellons), public domain. */
function scatter(number: number): number {
  let x = number >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

function unit(sketch: Float32Array): Float32Array {
  const length = Math.sqrt(product(sketch, sketch)) || 1;
  return sketch.map((x) => x / length);
}

function product(one: ArrayLike<number>, other: ArrayLike<number>): number {
  let sum = 0;
  for (let n = 0; n < SIZE; n++) sum += (one[n] as number) * (other[n] as number);
  return sum;
}
