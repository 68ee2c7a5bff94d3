// Vectors come and go for ever: a graph that has forgotten many still takes, finds and forgets. (The library's table of
// keys fills with those that are gone; a call would then never return, so before the mend these tests did not end.)
import { expect, test } from "vitest";
import { VectorIndex } from "#actors/cache/semantic/vector-index.ts";
import { graphFactory } from "#actors/knowledge/vectors/graph.ts";
import { Partition, type Place } from "#actors/knowledge/vectors/partition.ts";
import { randomOf } from "#test/harness/random.ts";

const DIMENSIONS = 16;
const LIVE = 60;
const ROUNDS = 3_000;

function vectors(seed: number): () => Float32Array {
  const random = randomOf(seed);
  return () => {
    const vector = Float32Array.from({ length: DIMENSIONS }, () => random.int(1, 1_000) - 500);
    const length = Math.hypot(...vector);
    return vector.map((x) => x / length);
  };
}

test("the semantic cache's index outlives thousands of entries that are gone", () => {
  const index = new VectorIndex();
  const next = vectors(1);
  for (let item = 0; item < ROUNDS; item++) {
    const vector = next();
    index.add(item, vector);
    if (item >= LIVE) index.remove(item - LIVE);
    expect(index.search(vector, 1)[0]?.item).toBe(item);
  }
});

test("a partition's graph outlives thousands of passages that are gone", async () => {
  const partition = new Partition<number>(DIMENSIONS, await graphFactory(), 0);
  const next = vectors(2);
  const places: Place<number>[] = [];
  for (let n = 0; n < ROUNDS; n++) {
    const vector = next();
    places.push(partition.add(n, vector));
    if (n >= LIVE) partition.remove(places[n - LIVE] as Place<number>);
    expect(partition.search(vector, 1)[0]?.of).toBe(n);
  }
  expect(partition.size).toBe(LIVE);
});
