import { expect, test } from "vitest";
import { unitLength } from "#actors/knowledge/embeddings/unit-length.ts";
import { thresholdOf } from "#actors/knowledge/vectors/thresholds.ts";
import { randomOf } from "#test/harness/random.ts";

test("vectors of a model that was replaced under its name say nothing of the scale of the others", () => {
  const random = randomOf(1);
  const some = (count: number, dimensions: number): Float32Array[] =>
    Array.from(
      { length: count },
      () => unitLength(Float32Array.from({ length: dimensions }, () => random.next() - 0.2))!,
    );
  const near = some(10, 8);
  const alone = thresholdOf(near);
  expect(alone).toSatisfy((each: number) => each > 0.4 && each < 0.8);
  expect(thresholdOf([...some(1, 12), ...near, ...some(1, 4)])).toBe(alone);
  // Of each length too few to be compared.
  expect(thresholdOf(Array.from({ length: 10 }, (_, n) => some(1, n + 1)[0] as Float32Array))).toBe(
    thresholdOf([]),
  );
});
