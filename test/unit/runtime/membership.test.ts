// Who lives, as one host hears it: silence, freezes, flapping, and clocks that are set.
import { beforeEach, describe, expect, test } from "vitest";
import { LIMITS } from "#contracts/limits.ts";
import { Membership } from "#runtime/placement/membership.ts";

const BEAT_MS = LIMITS.heartbeatMs / 2;

let at = 0;
let membership: Membership;
beforeEach(() => {
  at = 1_000;
  membership = new Membership("me", () => at);
});

/** Time passes in beats; each of `alive` is heard, and so is this host itself unless it is deaf. */
function pass(ms: number, alive: readonly string[], deaf = false): void {
  for (const until = at + ms; at < until; ) {
    at += BEAT_MS;
    if (!deaf) membership.hear({ instance: "me", weight: 1, held: 0 });
    for (const instance of alive) membership.hear({ instance, weight: 1, held: 0 });
    membership.members(1);
  }
}
const living = (): string[] =>
  membership
    .members(1)
    .map((m) => m.instance)
    .toSorted();
const isSteady = (instance: string): boolean | undefined =>
  membership.members(1).find((m) => m.instance === instance)?.steady;

describe("membership", () => {
  test("judges nobody before it has listened, and then only by their silence", () => {
    pass(LIMITS.suspectMs - BEAT_MS, ["other"]);
    expect(membership.judges).toBe(false);
    pass(BEAT_MS, ["other"]);
    expect(membership.judges).toBe(true);
    pass(LIMITS.suspectMs, []);
    expect(living()).toEqual(["me", "other"]);
    pass(BEAT_MS, []);
    expect(living()).toEqual(["me"]);
  });

  test("a host that says good-bye is gone at once, and welcome again", () => {
    pass(LIMITS.suspectMs, ["other"]);
    expect(membership.hear({ instance: "other", weight: 1, held: 0, gone: true })).toBe(true);
    expect(living()).toEqual(["me"]);
    pass(LIMITS.heartbeatMs + BEAT_MS, ["other"]);
    expect(isSteady("other")).toBe(true);
  });

  test("whoever could not hear misses nobody: frozen, cut off or too busy to read", () => {
    pass(LIMITS.suspectMs, ["other"]);
    at += 60_000;
    expect(living()).toEqual(["me", "other"]);
    expect(membership.judges).toBe(false);
    // It reads again. The others are given the time of a suspicion to be heard.
    pass(BEAT_MS, []);
    expect(membership.judges).toBe(false);
    expect(living()).toEqual(["me", "other"]);
    pass(LIMITS.suspectMs, ["other"]);
    expect(membership.judges).toBe(true);
    expect(isSteady("other")).toBe(true);
  });

  test("a host that hears others but not itself does not judge", () => {
    pass(LIMITS.suspectMs, ["other"]);
    pass(LIMITS.suspectMs * 2, [], true);
    expect(membership.judges).toBe(false);
    expect(living()).toEqual(["me", "other"]);
  });

  test("a newcomer is given partitions after a beat or two, one that comes and goes after ever longer", () => {
    pass(LIMITS.suspectMs, []);
    pass(BEAT_MS, ["other"]);
    expect(isSteady("other")).toBe(false);
    pass(LIMITS.heartbeatMs, ["other"]);
    expect(isSteady("other")).toBe(true);
    const waits: number[] = [];
    for (let times = 0; times < 8; times++) {
      pass(LIMITS.suspectMs + 2 * BEAT_MS, []);
      expect(living()).toEqual(["me"]);
      const from = at;
      do pass(BEAT_MS, ["other"]);
      while (!isSteady("other"));
      waits.push(at - BEAT_MS - from);
    }
    expect(waits).toEqual([2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
    pass(301_000, ["other"]);
    pass(LIMITS.suspectMs + 2 * BEAT_MS, []);
    pass(2_000 + BEAT_MS, ["other"]);
    expect(isSteady("other")).toBe(true);
  });

  test("says when a beat changes what is to be planned", () => {
    expect(membership.hear({ instance: "other", weight: 1, held: 0 })).toBe(true);
    expect(membership.hear({ instance: "other", weight: 1, held: 0 })).toBe(false);
    expect(membership.hear({ instance: "other", weight: 0, held: 0 })).toBe(true);
    expect(membership.members(0)[0]).toMatchObject({ instance: "me", weight: 0 });
  });

  test("knows how busy partitions are, also those of a host that is gone", () => {
    membership.hear({ instance: "other", weight: 1, held: 0, load: [[3, 17.5]] });
    membership.hear({ instance: "other", weight: 1, held: 0, gone: true });
    expect([membership.loadOf(3), membership.loadOf(4)]).toEqual([17.5, 0]);
  });
});
