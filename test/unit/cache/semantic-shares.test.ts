// Which answer a question is of, told from its neighbours; and on which nouns an answer depends.
import fc from "fast-check";
import { expect, test } from "vitest";
import { Fillers } from "#actors/cache/semantic/fillers.ts";
import { type Shares, sharesOf } from "#actors/cache/semantic/shares.ts";
import { wordsOf } from "#actors/cache/semantic/words.ts";

type Vector = readonly number[];
const unit = (raw: Vector): Vector => raw.map((x) => x / (Math.hypot(...raw) || 1));
const product = (one: Vector, other: Vector): number =>
  one.reduce((sum, x, n) => sum + x * (other[n] ?? 0), 0);

/** The shares of a question with these neighbours. */
function sharesAmong(question: Vector, near: readonly (readonly [rest: string, vector: Vector])[]): Shares {
  const vectors = near.map(([, vector]) => unit(vector));
  return sharesOf({
    rests: near.map(([rest]) => rest),
    own: vectors.map((vector) => product(vector, unit(question))),
    among: Float64Array.from(
      vectors.flatMap((one, row) => vectors.slice(0, row + 1).map((other) => product(one, other))),
    ),
    steepness: 2,
  });
}

test("what two answers have in common tells nothing, what they differ in tells all", () => {
  const near = [0.1, 0.2, 0.3].flatMap((way) => [
    ["refund", [1, way, 0, 0.3]] as const,
    ["parcel", [1, way, 0.3, 0]] as const,
  ]);
  const shares = sharesAmong([1, 0.25, 0.25, 0], near);
  expect(shares.of("parcel")).toBeGreaterThan(shares.of("refund") + 0.5);
  expect(shares.novelty).toBeLessThan(0.1);
  expect(sharesAmong([0, 0, 0, 0, 1], near).novelty).toBeGreaterThan(shares.novelty + 0.3);
});

test("neighbours that would be taken for each other are doubted, those of one kind are not", () => {
  const near = [0.1, 0.2, 0.3, 0.4].map((way, n) => [n, [1, way]] as const);
  const doubt = (of: (n: number) => string): number =>
    sharesAmong(
      [1, 0.25],
      near.map(([n, vector]) => [of(n), vector] as const),
    ).doubt("refund");
  expect(doubt(() => "refund")).toBeLessThan(0.5 * doubt((n) => (n % 2 ? "refund" : "parcel")));
});

test("many neighbours that say the same do not outvote one that says more", () => {
  const crowd = [0.5, 0.51, 0.49, 0.505].map((x) => ["crowd", [1, x]] as const);
  const shares = sharesAmong([1, 0.05], [...crowd, ["one", [1, 0]]]);
  expect(shares.of("one")).toBeGreaterThan(shares.of("crowd"));
});

test("the order of neighbours does not matter, and none say nothing", () => {
  const number = fc.double({ min: -1, max: 1, noNaN: true });
  const vector = fc.array(number, { minLength: 4, maxLength: 4 });
  const neighbour = fc.tuple(fc.constantFrom("x", "y", "z"), vector);
  fc.assert(
    fc.property(vector, fc.array(neighbour, { maxLength: 12 }), (question, near) => {
      const [one, other] = [sharesAmong(question, near), sharesAmong(question, near.toReversed())];
      expect(other.novelty).toBeCloseTo(one.novelty, 6);
      for (const rest of ["x", "y", "z"]) {
        expect(other.of(rest)).toBeCloseTo(one.of(rest), 6);
        expect(other.doubt(rest)).toBeCloseTo(one.doubt(rest), 6);
      }
    }),
  );
  expect(sharesAmong([1, 0], [])).toMatchObject({ novelty: 1 });
});

test("an answer depends on the word before a noun where its questions nearly always have one there", () => {
  const fillers = new Fillers();
  const count = (rest: string, text: string): void =>
    fillers.count(rest, wordsOf(text, "en"), (word) => word, 1);
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
