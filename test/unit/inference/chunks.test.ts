// Coalescing: the first chunk at once, later ones at most every chunkMs, nothing lost and nothing out of number.
import fc from "fast-check";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Chunks } from "#actors/inference/chunks.ts";
import type { StreamEvent } from "#contracts/turn.ts";

let events: StreamEvent[];
const open = () => new Chunks({ turn: 3, attempt: 2, publish: (event) => void events.push(event) });

beforeEach(() => {
  vi.useFakeTimers();
  events = [];
});
afterEach(() => vi.useRealTimers());

test("sends the first text without waiting and coalesces what follows", () => {
  const chunks = open();
  chunks.add("a");
  expect(events).toEqual([{ type: "delta", turn: 3, attempt: 2, number: 1, text: "a" }]);
  chunks.add("b");
  chunks.add("c");
  expect(events).toHaveLength(1);
  vi.advanceTimersByTime(30);
  expect(events[1]).toMatchObject({ number: 2, text: "bc" });
  vi.advanceTimersByTime(100);
  chunks.add("d");
  expect(events[2]).toMatchObject({ number: 3, text: "d" });
});

test("sends what waits when it closes, and nothing afterwards", () => {
  const chunks = open();
  for (const text of ["a", "b"]) chunks.add(text);
  chunks.close();
  chunks.add("c");
  vi.advanceTimersByTime(100);
  expect(events.map(({ text }) => text)).toEqual(["a", "b"]);
  expect(chunks.sent).toBe(2);
});

test("a restart is event 0 of its attempt", () => {
  open().restart();
  expect(events).toEqual([{ type: "restart", turn: 3, attempt: 2, number: 0 }]);
});

test("keeps every character, numbers from 1, and never more than one chunk a window", () => {
  const steps = fc.array(fc.tuple(fc.string({ maxLength: 5 }), fc.nat({ max: 50 })));
  fc.assert(
    fc.property(steps, (texts) => {
      events = [];
      const chunks = open();
      const times: number[] = [];
      for (const [text, waitMs] of texts) {
        const before = events.length;
        chunks.add(text);
        for (let i = before; i < events.length; i++) times.push(Date.now());
        vi.advanceTimersByTime(waitMs);
      }
      chunks.close();
      expect(events.map(({ text }) => text).join("")).toBe(texts.map(([text]) => text).join(""));
      expect(events.map(({ number }) => number)).toEqual(events.map((_, n) => n + 1));
      for (const [n, at] of times.entries())
        if (n > 0) expect(at - (times[n - 1] as number)).toBeGreaterThanOrEqual(30);
    }),
  );
});
