// Which answer a question is of, told from all questions at once; and on which nouns an answer depends.
import fc from "fast-check";
import { expect, test } from "vitest";
import { Discriminant, sketchOfFeatures, sketchOfVector } from "#actors/cache/semantic/discriminant.ts";
import { Fillers } from "#actors/cache/semantic/fillers.ts";
import { wordsOf } from "#actors/cache/semantic/words.ts";

const sketch = (text: string): Float32Array => sketchOfFeatures(text.split(" ").map((word) => [word, 1]));

test("what two answers have in common tells nothing, what they differ in tells all", () => {
  const discriminant = new Discriminant();
  for (const rest of ["refund", "parcel"])
    for (const way of ["where is", "show me", "i want to see"])
      discriminant.count(rest, sketch(`${way} my late ${rest}`), 1);
  const shares = discriminant.sharesOf(sketch("tell me about my late parcel"));
  expect(shares.of("parcel")).toBeGreaterThan(shares.of("refund") + 0.1);
  const known = discriminant.sharesOf(sketch("where is my late parcel"));
  expect(known.novelty).toBeLessThan(shares.novelty);
  expect(discriminant.sharesOf(sketch("entirely other words")).novelty).toBeGreaterThan(0.9);
});

test("the order of questions does not matter, and what came and went leaves nothing", () => {
  const word = fc.constantFrom("a", "b", "c", "d", "e", "f");
  const question = fc.record({
    rest: fc.constantFrom("x", "y"),
    text: fc.array(word, { minLength: 1, maxLength: 4 }),
  });
  fc.assert(
    fc.property(
      fc.array(question, { minLength: 1, maxLength: 8 }),
      fc.array(question, { maxLength: 4 }),
      (all, gone) => {
        const [one, other] = [new Discriminant(), new Discriminant()];
        const count = (to: Discriminant, list: typeof all, by: 1 | -1): void => {
          for (const { rest, text } of list) to.count(rest, sketch(text.join(" ")), by);
        };
        count(one, all, 1);
        count(other, [...gone, ...all.toReversed()], 1);
        count(other, gone, -1);
        for (const rest of ["x", "y"])
          expect(other.sharesOf(sketch("a c e")).of(rest)).toBeCloseTo(
            one.sharesOf(sketch("a c e")).of(rest),
            6,
          );
      },
    ),
    { numRuns: 12 },
  );
});

test("a long vector's sketch keeps what is near near", () => {
  const wave = (phase: number): Float32Array => {
    const raw = Float32Array.from(
      { length: 1_536 },
      (_, n) => Math.sin(n * 0.7 + phase) + Math.cos(n * n + phase),
    );
    const length = Math.hypot(...raw);
    return raw.map((x) => x / length);
  };
  const product = (one: Float32Array, other: Float32Array): number =>
    one.reduce((sum, x, n) => sum + x * (other[n] ?? 0), 0);
  for (const phase of [0.1, 1, 2]) {
    const exact = product(wave(0), wave(phase));
    expect(Math.abs(product(sketchOfVector(wave(0)), sketchOfVector(wave(phase))) - exact)).toBeLessThan(
      0.15,
    );
  }
});

test("an answer depends on the word before a noun where its questions nearly always have one there", () => {
  const fillers = new Fillers();
  const count = (rest: string, text: string): void => fillers.count(rest, wordsOf(text), (word) => word, 1);
  for (const kind of ["gold", "free", "basic", "gold", "free", "basic", "gold", "family"])
    count("open", `open a ${kind} plan`);
  for (const text of [
    "my transfer",
    "the transfer",
    "is my transfer late",
    "a late transfer",
    "this transfer",
    "my transfer",
  ])
    count("transfer", text);
  const ask = { isVerb: (text: string) => text === "open", shared: true };
  expect(fillers.decides("open", "plan", ask)).toBe(true);
  expect(fillers.always("open", "plan", ask)).toBe(true);
  expect(fillers.decides("transfer", "transfer", ask)).toBe(false);
  // Nothing is known of it: only where both have the noun is it taken for one that decides.
  expect(fillers.decides("open", "unheard", ask)).toBe(true);
  expect(fillers.decides("open", "unheard", { ...ask, shared: false })).toBe(false);
});
