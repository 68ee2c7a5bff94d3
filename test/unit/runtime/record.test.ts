// What an actor remembers: exact ids of what it processed, the effects it owes, and the limit of it all.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encode } from "#contracts/codec.ts";
import { isId } from "#contracts/ids.ts";
import { LIMITS } from "#contracts/limits.ts";
import { decodeRecord, encodeRecord, type NextRecord, ProcessedIds } from "#runtime/actor/record.ts";

const id = fc.string({ unit: "binary", minLength: 1, maxLength: 12 }).filter(isId);
// Lengths on both sides of the bound: left to itself the generator hardly ever reaches it.
const ids = fc
  .tuple(
    fc.integer({ min: LIMITS.processedIds - 3, max: LIMITS.processedIds + 200 }),
    id,
    fc.integer({ min: 0, max: 300 }),
  )
  .map(([longest, word, cut]) =>
    Array.from({ length: Math.max(0, longest - cut) }, (_, n) => `${word}-${n}`),
  );

const next = (change: Partial<NextRecord> = {}): NextRecord => ({
  op: "host.1",
  state: { n: 1 },
  stateVersion: 3,
  processed: new ProcessedIds(["a"]),
  newlyProcessed: ["b"],
  outbox: [],
  seq: 9,
  timers: {},
  attempts: {},
  givenUp: [],
  floor: 0,
  ...change,
});

describe("the ring of processed ids", () => {
  test(`knows exactly the last ${LIMITS.processedIds} ids`, () => {
    fc.assert(
      fc.property(ids, (all) => {
        const ring = new ProcessedIds();
        for (const each of all) ring.add(each);
        const kept = new Set(all.slice(-LIMITS.processedIds));
        for (const each of all) expect(ring.has(each)).toBe(kept.has(each));
      }),
      { numRuns: 30 },
    );
  });

  test("is the same after it was written and read, with the newly processed at its end", () => {
    fc.assert(
      fc.property(ids, fc.uniqueArray(id, { maxLength: 64 }), (old, extra) => {
        const fresh = extra.filter((each) => !old.includes(each));
        const read = ProcessedIds.split(new ProcessedIds(old).join(fresh));
        const grown = new ProcessedIds(old);
        for (const each of fresh) grown.add(each);
        expect(read.join([])).toBe(grown.join([]));
      }),
      { numRuns: 50 },
    );
  });

  test("does not forget an older id because a known one is added again", () => {
    const full = Array.from({ length: LIMITS.processedIds }, (_, n) => `m${n}`);
    const ring = new ProcessedIds(full);
    ring.add("m7");
    expect(full.every((each) => ring.has(each))).toBe(true);
  });

  test("knows an id that was handled again, as a redriven one is, for as long as the others, stored or not", () => {
    const full = Array.from({ length: LIMITS.processedIds }, (_, n) => `m${n}`);
    const grown = new ProcessedIds(full);
    grown.add("m7");
    for (const ring of [grown, ProcessedIds.split(new ProcessedIds(full).join(["m7"]))]) {
      for (let n = 1; n < LIMITS.processedIds; n++) ring.add(`later${n}`);
      expect(ring.has("m7")).toBe(true);
      ring.add("last");
      expect(ring.has("m7")).toBe(false);
    }
  });

  test("of nothing is nothing", () => {
    expect(ProcessedIds.split("").has("")).toBe(false);
    expect(new ProcessedIds().join([])).toBe("");
  });
});

describe("the record", () => {
  test("comes back as it was written", () => {
    const record = next({
      outbox: [{ id: "k.t.x.4.0", k: "append", subject: "in.1.k.t.y", data: new Uint8Array([1, 2]) }],
      timers: { remind: 4_001 },
      attempts: {
        b: [
          { at: 5, host: "h1" },
          { at: 6, host: "h2" },
        ],
      },
      givenUp: ["c", "d"],
      floor: 4,
    });
    const read = decodeRecord(encodeRecord(record));
    expect(read).toMatchObject({ op: "host.1", state: { n: 1 }, stateVersion: 3, seq: 9 });
    expect(read.timers).toEqual({ remind: 4_001 });
    expect(read.attempts).toEqual(record.attempts);
    expect([read.givenUp, read.floor]).toEqual([["c", "d"], 4]);
    expect(read.outbox[0]).toMatchObject({ id: "k.t.x.4.0", k: "append", subject: "in.1.k.t.y" });
    expect([read.processed.has("a"), read.processed.has("b")]).toEqual([true, true]);
  });

  test.each(["__proto__", "constructor", "toString"])("counts attempts and timers named %s", (name) => {
    const tried = [{ at: 1, host: "h" }];
    const read = decodeRecord(encodeRecord(next({ attempts: { [name]: tried }, timers: { [name]: 7 } })));
    expect(Object.getOwnPropertyDescriptor(read.attempts, name)?.value).toEqual(tried);
    expect(Object.getOwnPropertyDescriptor(read.timers, name)?.value).toBe(7);
  });

  test("that gives a message up fits although the state alone is at its limit", () => {
    const full = next({ state: "x".repeat(LIMITS.stateBytes - 1_000), givenUp: ["y".repeat(2_000)] });
    expect(() => encodeRecord(full)).toThrow(expect.objectContaining({ code: "actor.state-too-large" }));
    expect(encodeRecord(full, LIMITS.recordBytes).length).toBeGreaterThan(LIMITS.stateBytes);
  });

  test("above the limit is refused, naming the limit", () => {
    const tooLarge = () => encodeRecord(next({ state: "x".repeat(LIMITS.stateBytes) }));
    expect(tooLarge).toThrow(expect.objectContaining({ code: "actor.state-too-large" }));
    expect(tooLarge).toThrow("LIMITS.stateBytes");
    expect(encodeRecord(next({ state: "x".repeat(LIMITS.stateBytes - 1_000) })).length).toBeLessThanOrEqual(
      LIMITS.stateBytes,
    );
  });

  test("of a later format is left alone", () => {
    expect(() => decodeRecord(encode({ v: 2 }))).toThrow(
      expect.objectContaining({ code: "actor.state-newer" }),
    );
  });
});
