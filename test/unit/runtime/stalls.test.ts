// When a process says that NATS does not store what it is given: told apart by stream, and over with the next thing stored.
import { expect, test } from "vitest";
import { Stalls } from "#runtime/nats/stalls.ts";

test("a stream is stalled from a failed append to the next one that it stores, whatever its subject", () => {
  const stalls = new Stalls();
  stalls.stored("in.1.a.b.c", "INBOUND-0", 1_000);
  stalls.stored("in.2.a.b.c", "INBOUND-0", 1_000);
  stalls.failed("in.1.a.b.c", { sentAt: 2_000, lost: false }, 7_000);
  expect(stalls.any(7_000)).toBe(true);
  stalls.stored("in.2.a.b.d", "INBOUND-0", 7_100);
  expect(stalls.any(7_100)).toBe(false);
});

test("what other streams store does not end it: one without a leader shows while the rest goes on", () => {
  const stalls = new Stalls();
  stalls.stored("in.1.a.b.c", "INBOUND-0", 1_000);
  stalls.stored("in.3.a.b.c", "INBOUND-1", 1_000);
  for (let now = 6_000; now < 60_000; now += 5_000) {
    stalls.failed("in.3.a.b.c", { sentAt: now - 5_000, lost: false }, now);
    stalls.stored("in.1.a.b.c", "INBOUND-0", now);
    expect(stalls.any(now + 4_999)).toBe(true);
  }
});

test("an append that is late tells nothing of a stream that stored others since it was sent", () => {
  const stalls = new Stalls();
  stalls.stored("turn.0.a.b.c", "TURNS-0", 3_000);
  stalls.failed("turn.0.a.b.d", { sentAt: 1_000, lost: false }, 6_000);
  expect(stalls.any(6_000)).toBe(false);
});

test("a stream that nobody has heard of is stalled until it stores something, or for a while", () => {
  const stalls = new Stalls();
  stalls.failed("infer.large.new.0.t.s", { sentAt: 0, lost: false }, 1_000);
  expect(stalls.any(1_000)).toBe(true);
  stalls.stored("infer.large.new.1.t.s", "INFER-large", 2_000);
  expect(stalls.any(2_000)).toBe(false);
  stalls.failed("infer.small.new.0.t.s", { sentAt: 2_000, lost: false }, 3_000);
  expect(stalls.any(10_999)).toBe(true);
  expect(stalls.any(11_000)).toBe(false);
});

test("what went down with its connection tells that nothing is stored, until anything is", () => {
  const stalls = new Stalls();
  stalls.stored("turn.0.a.b.c", "TURNS-0", 1_000);
  stalls.failed("turn.0.a.b.c", { sentAt: 2_000, lost: true }, 4_000);
  expect(stalls.any(4_000)).toBe(true);
  stalls.stored("in.1.a.b.c", "INBOUND-0", 4_100);
  expect(stalls.any(4_100)).toBe(false);
  stalls.failed("turn.0.a.b.c", { sentAt: 2_000, lost: true }, 4_200);
  expect(stalls.any(4_200)).toBe(false);
});

test("a stall is told once, and once that it is over; what a lost connection took down is told by the loss", () => {
  const told: boolean[] = [];
  const stalls = new Stalls((stalled) => void told.push(stalled));
  stalls.stored("turn.0.a.b.c", "TURNS-0", 1_000);
  stalls.failed("turn.0.a.b.c", { sentAt: 2_000, lost: true }, 3_000);
  stalls.stored("turn.0.a.b.c", "TURNS-0", 4_000);
  expect(told).toEqual([]);
  // A leader that changes.
  stalls.failed("turn.0.a.b.c", { sentAt: 5_000, lost: false }, 5_100);
  stalls.stored("turn.0.a.b.c", "TURNS-0", 7_000);
  for (let now = 10_000; now < 60_000; now += 1_000)
    stalls.failed("turn.0.a.b.c", { sentAt: now - 5_000, lost: false }, now);
  stalls.stored("in.1.a.b.c", "INBOUND-0", 60_000);
  expect(told).toEqual([true]);
  stalls.stored("turn.0.a.b.c", "TURNS-0", 61_000);
  stalls.stored("turn.0.a.b.c", "TURNS-0", 62_000);
  expect(told).toEqual([true, false]);
});
