// Beyond the size up to which all vectors are compared a graph finds the nearest: nearly all of them, and always the same.
import { expect, test } from "vitest";
import { VectorIndex } from "#actors/cache/semantic/vector-index.ts";
import { randomFrom } from "#ops/bench/shape.ts";

const SIZE = 3_000;
const DIMENSIONS = 64;
const TOPICS = 40;
const NEAREST = 24;
const REMOVED = 5;

test("a graph of thousands finds what comparing all finds, again and again the same", () => {
  const random = randomFrom(7);
  const topics = Array.from({ length: TOPICS }, () => drawn(random));
  const near = (): Float32Array => {
    const topic = topics[Math.floor(random() * TOPICS)] ?? drawn(random);
    const spread = drawn(random);
    return unit(topic.map((x, n) => x + 0.8 * (spread[n] ?? 0)));
  };
  const vectors = Array.from({ length: SIZE }, near);
  const [one, other] = [built(vectors), built(vectors)];
  let found = 0;
  const asked = 60;
  for (let n = 0; n < asked; n++) {
    const question = near();
    const hits = one.search(question, NEAREST).map(({ item }) => item);
    expect(hits).toEqual(other.search(question, NEAREST).map(({ item }) => item));
    expect(hits.every((item) => item % REMOVED !== 0)).toBe(true);
    const exact = nearest(vectors, question);
    found += hits.filter((item) => exact.has(item)).length;
  }
  expect(found / (asked * NEAREST)).toBeGreaterThanOrEqual(0.95);
});

/** Every fifth is removed again. */
function built(vectors: readonly Float32Array[]): VectorIndex {
  const index = new VectorIndex();
  for (const [item, vector] of vectors.entries()) index.add(item, vector);
  for (let item = 0; item < vectors.length; item += REMOVED) index.remove(item);
  return index;
}

function nearest(vectors: readonly Float32Array[], question: Float32Array): Set<number> {
  const all = [...vectors.entries()]
    .filter(([item]) => item % REMOVED !== 0)
    .map(([item, vector]) => ({
      item,
      score: vector.reduce((sum, x, n) => sum + x * (question[n] ?? 0), 0),
    }));
  return new Set(
    all
      .sort((a, b) => b.score - a.score)
      .slice(0, NEAREST)
      .map(({ item }) => item),
  );
}

const drawn = (random: () => number): Float32Array =>
  unit(Float32Array.from({ length: DIMENSIONS }, () => random() + random() + random() - 1.5));

function unit(vector: Float32Array): Float32Array {
  const length = Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0));
  return vector.map((x) => x / length);
}
