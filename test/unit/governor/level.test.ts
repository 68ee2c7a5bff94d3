// The law of levels: up at once, down one at a time and slowly, quiet between the thresholds, back at 0 soon after the
// load is gone.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  initialLevel,
  LEVEL_DEFAULTS,
  type LevelPolicy,
  type LevelState,
  levelPolicyOf,
  nextLevel,
} from "#actors/governor/level.ts";
import { configSchema } from "#contracts/config.ts";
import type { Level } from "#contracts/level.ts";
import type { Drain } from "#contracts/load.ts";

const ROUND_MS = 500;
const policy: LevelPolicy = { ...LEVEL_DEFAULTS, relieved: new Set() };
const drain = (drainMs: number, change: Partial<Drain> = {}): Drain => ({
  pool: "main",
  cls: "new",
  waiting: 1,
  inFlight: 0,
  oldestMs: 0,
  drainMs,
  ...change,
});

interface Change {
  readonly at: number;
  readonly from: Level;
  readonly to: Level;
}

/** Plays drain times, one a round, and returns what the level did. */
function play(drains: readonly number[], start: LevelState = initialLevel(0)) {
  let state = start;
  const changes: Change[] = [];
  for (const [n, ms] of drains.entries()) {
    const at = n * ROUND_MS;
    const step = nextLevel(state, [drain(ms)], at, policy);
    expect(step.reason !== undefined).toBe(step.state.level !== state.level);
    if (step.state.level !== state.level) changes.push({ at, from: state.level, to: step.state.level });
    state = step.state;
  }
  return { state, changes };
}

const times = fc.array(fc.integer({ min: 0, max: 40_000 }), { maxLength: 200 });

describe("levels", () => {
  test("a threshold that is reached is answered in the same round, by the level it belongs to", () => {
    for (const [ms, level] of [
      [3_999, 0],
      [4_000, 1],
      [8_000, 2],
      [15_000, 3],
      [90_000, 3],
    ] as const)
      expect(nextLevel(initialLevel(0), [drain(ms)], 0, policy).state.level).toBe(level);
  });

  test("only the class new counts", () => {
    for (const cls of ["ongoing", "deferred"] as const)
      expect(nextLevel(initialLevel(0), [drain(60_000, { cls })], 0, policy).state.level).toBe(0);
  });

  test("whatever the load does, it falls one level at a time and never within holdMs of the last change", () => {
    fc.assert(
      fc.property(times, (drains) => {
        const { changes } = play(drains);
        for (const [n, { at, from, to }] of changes.entries()) {
          if (to > from) continue;
          expect(from - to).toBe(1);
          expect(at - (changes[n - 1] as Change).at).toBeGreaterThanOrEqual(policy.holdMs);
        }
        // What goes up was down: with slow falls there are few changes of any kind.
        const falls = changes.filter(({ from, to }) => to < from).length;
        expect(falls).toBeLessThanOrEqual((drains.length * ROUND_MS) / policy.holdMs);
        expect(changes.length).toBeLessThanOrEqual(2 * falls + 3);
      }),
    );
  });

  test("a load that stays between the lower threshold and the next level changes nothing", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(1, 2, 3),
        fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { maxLength: 100 }),
        (level, shares) => {
          const raise = policy.raiseMs[level - 1] as number;
          const [low, high] = [raise * policy.lowerShare, [...policy.raiseMs, 3 * raise][level] as number];
          const drains = shares.map((share) => low + share * (high - low));
          expect(play(drains, initialLevel(0, level as Level)).changes).toEqual([]);
        },
      ),
    );
  });

  test("once nothing waits any more, level 0 is three holds away at most", () => {
    fc.assert(
      fc.property(times, (drains) => {
        const calm = 3 * (policy.holdMs / ROUND_MS) + 3;
        const { state } = play([...drains, ...Array.from({ length: calm }, () => 0)]);
        expect(state.level).toBe(0);
      }),
    );
  });

  test("a backlog of 25 s that is worked off leaves level 0 within 30 s after the load ended", () => {
    const rounds = Array.from({ length: 61 }, (_, n) => Math.max(0, 25_000 - n * ROUND_MS));
    const { state, changes } = play(rounds);
    expect(changes.map(({ to }) => to)).toEqual([3, 2, 1, 0]);
    expect(state.level).toBe(0);
  });

  test("a pool that has a smaller one is a reason for level 1 and no more; the smaller one for all", () => {
    const model = { models: [{ name: "m", provider: "echo" }] };
    const config = configSchema.parse({
      pools: { large: { ...model, degradeTo: "small" }, small: model },
      governor: { raiseMs: [1_000, 2_000, 3_000] },
    });
    const own = levelPolicyOf(config);
    expect(own).toMatchObject({ raiseMs: [1_000, 2_000, 3_000], lowerShare: 0.5, holdMs: 3_000 });
    const at = (pool: string, from: Level = 0): Level =>
      nextLevel(initialLevel(0, from), [drain(9_000, { pool })], 10_000, own).state.level;
    expect(at("large")).toBe(1);
    expect(at("small")).toBe(3);
  });
});
