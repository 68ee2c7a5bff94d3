// Which messages an actor still handles: repeats, redrives, timers, and what an erase has left behind it.
import { describe, expect, test } from "vitest";
import type { Envelope } from "#contracts/envelope.ts";
import { LIMITS } from "#contracts/limits.ts";
import type { ActorKind } from "#runtime/actor/define.ts";
import { deathsOf, givenUpAfter, recordAfter, verdictOf } from "#runtime/actor/handled.ts";
import type { Delivery } from "#runtime/actor/mailbox.ts";
import { type ActorRecord, ProcessedIds } from "#runtime/actor/record.ts";
import { counter } from "#test/harness/counter.ts";
import { messageOf } from "#test/harness/draft.ts";

const recordOf = (change: Partial<ActorRecord> = {}): ActorRecord => ({
  state: {},
  stateVersion: 1,
  processed: new ProcessedIds(["done", "failed"]),
  outbox: [],
  seq: 0,
  timers: { bell: 4 },
  attempts: {},
  givenUp: ["failed"],
  floor: 10,
  ...change,
});
const delivered = (id: string, seq = 20, change: Partial<Envelope> = {}): Delivery => ({
  envelope: messageOf("go", { id, ...change }),
  seq,
  bytes: 1,
  suspect: false,
  ack: () => {},
});
const left = (
  record: ActorRecord,
  deliveries: readonly Delivery[],
  forgotUpTo?: string,
  givesUp = false,
) => ({
  ...record,
  ...recordAfter(record, deliveries, { kind: counter, draft: { forgotUpTo, keepsIds: undefined }, givesUp }),
});

describe("a message", () => {
  test.each([
    ["that is new", delivered("new"), "fresh"],
    ["that was processed", delivered("done"), "repeat"],
    ["that was given up and comes again by itself", delivered("failed"), "repeat"],
    ["that was given up and is redriven", delivered("failed", 20, { redriven: 1 }), "fresh"],
    ["that is redriven although it was processed", delivered("done", 20, { redriven: 1 }), "repeat"],
    ["that is redriven to an actor that does not know it", delivered("new", 20, { redriven: 1 }), "repeat"],
    ["from before an erase", delivered("new", 10), "over"],
    ["of a timer that stands", delivered("t", 20, { timer: { name: "bell", generation: 4 } }), "fresh"],
    ["of a timer that was replaced", delivered("t", 20, { timer: { name: "bell", generation: 3 } }), "over"],
    ["of a timer that was cancelled", delivered("t", 20, { timer: { name: "gone", generation: 4 } }), "over"],
  ])("%s", (_, delivery, verdict) => {
    expect(verdictOf(recordOf(), delivery)).toBe(verdict);
  });
});

describe("processes that may have died of a message", () => {
  const by = (...hosts: string[]) => hosts.map((host, at) => ({ at, host }));

  test("are counted once each, however often they began it", () => {
    expect(deathsOf(by("a", "a", "b", "a"), "own")).toBe(2);
  });
  test("do not include the one that asks: it lives", () => {
    expect(deathsOf(by("own", "own", "own", "own", "a"), "own")).toBe(1);
  });
  test("are as many as attempts where none is named", () => {
    expect(deathsOf(by("", "", "a"), "own")).toBe(3);
  });
});

describe("a redrive", () => {
  const redriven = delivered("failed", 20, { redriven: 1 });

  test("that succeeds is the last one", () => {
    expect(verdictOf(left(recordOf(), [redriven]), redriven)).toBe("repeat");
  });

  test("that fails may be tried again", () => {
    expect(verdictOf(left(recordOf(), [redriven], undefined, true), redriven)).toBe("fresh");
  });

  test("is possible for a bounded number of messages, the newest", () => {
    const many = Array.from({ length: LIMITS.givenUpIds }, (_, n) => `m${n}`);
    const left = givenUpAfter(many, [delivered("last")], true);
    expect(left).toEqual([...many.slice(1), "last"]);
  });
});

test("an erase leaves the ids that came with it and after it, and no message before it counts any more", () => {
  const burst = [delivered("before", 21), delivered("erase", 22), delivered("next", 23)];
  const kind: ActorKind = { ...counter, remembers: () => true };
  const record = recordAfter(recordOf({ attempts: { before: [{ at: 1, host: "h" }] } }), burst, {
    kind,
    draft: { forgotUpTo: "erase", keepsIds: undefined },
    givesUp: false,
  });
  expect(record).toMatchObject({ newlyProcessed: ["erase", "next"], givenUp: [], attempts: {}, floor: 22 });
  expect(verdictOf({ ...recordOf(), ...record }, delivered("anything", 21))).toBe("over");
});
