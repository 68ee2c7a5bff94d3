// Who speaks of the quorum, who asks, and who keeps still, on a clock of the test's own.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Quorum } from "#runtime/nats/quorum.ts";

let said = 0;
let asked = 0;
let provenAt = 0;
/** Whether the servers answer. */
let answered = true;
let quorum: Quorum;

beforeEach(() => {
  vi.useFakeTimers();
  [said, asked, provenAt, answered] = [0, 0, 0, true];
  quorum = new Quorum({
    provenAt: () => provenAt,
    say: () => {
      said++;
      quorum.heard();
    },
    ask: async () => {
      asked++;
      if (answered) provenAt = performance.now();
    },
  });
});
afterEach(() => {
  quorum.stop();
  vi.useRealTimers();
});

test("who is alone in its cluster asks about once a second, and says what it was told", async () => {
  await vi.advanceTimersByTimeAsync(15_000);
  expect(asked).toBeGreaterThanOrEqual(9);
  expect(asked).toBeLessThanOrEqual(15);
  expect(said).toBe(asked);
});

test("who has appends acknowledged asks nothing", async () => {
  for (let at = 0; at < 15_000; at += 100) {
    provenAt = performance.now();
    await vi.advanceTimersByTimeAsync(100);
  }
  expect(asked).toBe(0);
  expect(said).toBeGreaterThanOrEqual(9);
});

test("who hears it from others says and asks nothing", async () => {
  for (let at = 0; at < 15_000; at += 900) {
    quorum.heard();
    await vi.advanceTimersByTimeAsync(900);
  }
  expect(asked + said).toBe(0);
});

test("who hears nothing and gets no answer goes on asking, and never says a word", async () => {
  answered = false;
  await vi.advanceTimersByTimeAsync(1_500);
  expect(asked).toBe(1);
  await vi.advanceTimersByTimeAsync(15_000);
  expect(asked).toBeGreaterThanOrEqual(10);
  expect(said).toBe(0);
});

test("stopped, it does nothing more", async () => {
  quorum.stop();
  await vi.advanceTimersByTimeAsync(15_000);
  expect(asked + said).toBe(0);
});
