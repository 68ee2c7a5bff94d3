// Lanes follow the backlog: a tenant within its share is in lane 0 whatever others do, one beyond it is not.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Lanes, shareOf } from "#actors/conversation/lanes.ts";

const SHARE = 4;
const PATIENCE_MS = 60_000;

type Action =
  | { readonly do: "job"; readonly tenant: string; readonly commits: boolean }
  | { readonly do: "finish"; readonly nth: number }
  | { readonly do: "pass"; readonly ms: number };

const action: fc.Arbitrary<Action> = fc.oneof(
  fc.record({
    do: fc.constant("job" as const),
    tenant: fc.constantFrom("flood", "flood", "flood", "a", "b"),
    commits: fc.boolean(),
  }),
  fc.record({ do: fc.constant("finish" as const), nth: fc.nat(50) }),
  fc.record({ do: fc.constant("pass" as const), ms: fc.integer({ min: 0, max: 70_000 }) }),
);

describe("lanes", () => {
  test("the lane is 0 exactly while the tenant's unfinished jobs are below its share", () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 300 }), (actions) => {
        const lanes = new Lanes(() => SHARE);
        // What ought to be counted: jobs by id with the time at which they stop counting.
        const model = new Map<string, { tenant: string; until: number }>();
        let now = 0;
        for (const [n, each] of actions.entries()) {
          if (each.do === "pass") now += each.ms;
          for (const [id, { until }] of model) if (until <= now) model.delete(id);
          const counted = (tenant: string): number =>
            [...model.values()].filter((job) => job.tenant === tenant).length;
          if (each.do === "job") {
            const { tenant, commits } = each;
            expect(lanes.laneOf(tenant, now)).toBe(counted(tenant) < SHARE ? 0 : 1);
            lanes.reserve(`j${n}`, tenant, now);
            if (commits) lanes.committed(`j${n}`, now + PATIENCE_MS);
            model.set(`j${n}`, { tenant, until: now + (commits ? PATIENCE_MS : 5_000) });
          } else if (each.do === "finish") {
            const id = [...model.keys()][each.nth];
            lanes.finished(id ?? "unknown");
            if (id) model.delete(id);
          }
        }
        now += PATIENCE_MS;
        for (const tenant of ["flood", "a", "b"]) expect(lanes.laneOf(tenant, now)).toBe(0);
        expect(lanes.size).toBe(0);
      }),
    );
  });

  test("a flood of one tenant leaves every other one in lane 0", () => {
    const lanes = new Lanes(() => SHARE);
    for (let n = 0; n < 1_000; n++) lanes.reserve(`f${n}`, "flood", 0);
    expect(lanes.laneOf("flood", 0)).toBe(1);
    for (let t = 0; t < 200; t++) expect(lanes.laneOf(`tenant-${t}`, 0)).toBe(0);
  });

  test("without a configured share a flood is what exceeds the others, and a lone tenant never does", () => {
    const lanes = new Lanes();
    for (let n = 0; n < 1_000; n++) lanes.reserve(`f${n}`, "flood", 0);
    expect(lanes.laneOf("flood", 0)).toBe(0);
    lanes.reserve("a", "other", 0);
    expect(lanes.laneOf("flood", 0)).toBe(1);
    expect(lanes.laneOf("other", 0)).toBe(0);
    lanes.finished("a");
    expect(lanes.laneOf("flood", 0)).toBe(0);
  });

  test("memory is bounded, and what is beyond the bound does not break the counts", () => {
    const lanes = new Lanes(() => SHARE);
    for (let n = 0; n < 70_000; n++) lanes.reserve(`j${n}`, `t${n}`, 0);
    expect(lanes.size).toBe(65_536);
    for (let n = 0; n < 70_000; n++) lanes.finished(`j${n}`);
    expect(lanes.size).toBe(0);
    expect([lanes.unfinished("t0"), lanes.unfinished("t69999")]).toEqual([0, 0]);
  });

  test("a job reserved twice counts once", () => {
    const lanes = new Lanes(() => SHARE);
    for (let n = 0; n < 10; n++) lanes.reserve("same", "t", 0);
    expect(lanes.unfinished("t")).toBe(1);
  });

  test("a host's part of a share is a whole number and at least one", () => {
    expect([shareOf(32, 0), shareOf(32, 1), shareOf(32, 5), shareOf(32, 64)]).toEqual([32, 32, 6, 1]);
  });
});
