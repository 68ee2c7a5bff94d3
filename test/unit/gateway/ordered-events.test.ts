import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { endOfTurn, OrderedEvents } from "#actors/gateway/ordered-events.ts";
import type { StreamEvent } from "#contracts/turn.ts";

const delta = (turn: number, attempt: number, number: number): StreamEvent => ({
  type: "delta",
  turn,
  attempt,
  number,
  text: `${attempt}.${number} `,
});
const opened = (turn: number): StreamEvent => ({ type: "turn", turn, attempt: 0, number: 0, messages: [] });
const done = (turn: number, attempt: number, number: number): StreamEvent => ({
  type: "done",
  turn,
  attempt,
  number,
  text: "all",
});

function ordered(stored: () => readonly StreamEvent[]): { events: OrderedEvents; out: StreamEvent[] } {
  const out: StreamEvent[] = [];
  const events = new OrderedEvents({
    deliver: (event) => out.push(event),
    replayFrom: async (turn) => stored().filter((event) => event.turn >= turn),
  });
  return { events, out };
}
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const ids = (events: readonly StreamEvent[]): string[] =>
  events.map(({ turn, attempt, number }) => `${turn}.${attempt}.${number}`);

describe("OrderedEvents", () => {
  test("whatever is lost, late or repeated on the way, what goes out is the story in order", async () => {
    const story = fc
      .array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 3 })
      .map((attempts) => [
        opened(1),
        ...attempts.flatMap((deltas, a) => Array.from({ length: deltas }, (_, n) => delta(1, a + 1, n + 1))),
        done(1, attempts.length, (attempts.at(-1) as number) + 1),
      ]);
    await fc.assert(
      fc.asyncProperty(story, fc.infiniteStream(fc.integer({ min: 0, max: 99 })), async (all, chance) => {
        const next = (): number => chance.next().value / 100;
        const stored: StreamEvent[] = [];
        const { events, out } = ordered(() => stored);
        for (const event of all) {
          stored.push(event);
          const fate = next();
          if (fate < 0.3) continue;
          events.offer(event);
          if (fate > 0.8) events.offer(event);
          if (fate > 0.9) events.offer(all[Math.floor(next() * all.indexOf(event))] as StreamEvent);
          if (fate > 0.5) await settled();
        }
        await settled();
        await events.refill();
        // A listener that heard nothing at all of a turn cannot know of it.
        if (out.length === 0) return;
        const last = all.at(-1) as StreamEvent;
        // Positions only grow, the end comes once and last, and the winning attempt is whole.
        const order = out.map((e) => [e.turn, e.attempt, e.number] as const);
        for (let n = 1; n < order.length; n++) expect(compare(order[n - 1], order[n])).toBeLessThan(0);
        expect(out.filter((e) => e.type === "done")).toEqual([last]);
        expect(out.at(-1)).toEqual(last);
        const winning = out
          .filter((e) => e.type === "delta" && e.attempt === last.attempt)
          .map((e) => e.number);
        expect(winning).toEqual(Array.from({ length: last.number - 1 }, (_, n) => n + 1));
        expectRestarts(out);
      }),
      { numRuns: 300 },
    );
  });

  test("a resumed position is where the stream goes on", async () => {
    const all = [opened(1), delta(1, 1, 1), delta(1, 1, 2), done(1, 1, 3), opened(2), done(2, 0, 1)];
    for (const [n, event] of all.entries()) {
      const { events, out } = ordered(() => all);
      await events.resume(event);
      expect(ids(out)).toEqual(ids(all.slice(n + 1)));
    }
  });

  test("the end of a turn stands for all of it", async () => {
    const { events, out } = ordered(() => [opened(1), done(1, 999_999, 1), opened(2)]);
    await events.resume(endOfTurn(1));
    expect(ids(out)).toEqual(["2.0.0"]);
  });

  test("a store that cannot be read leaves the live events", async () => {
    const out: StreamEvent[] = [];
    const failures: unknown[] = [];
    const events = new OrderedEvents({
      deliver: (event) => out.push(event),
      replayFrom: () => Promise.reject(new Error("away")),
      onReplayFailed: (error) => failures.push(error),
    });
    events.offer(delta(1, 1, 4));
    events.offer(delta(1, 1, 5));
    await settled();
    expect([ids(out), failures.length]).toEqual([["1.1.4", "1.1.5"], 1]);
  });

  test("of many turns only the last few are remembered, and older events are dropped", () => {
    const { events, out } = ordered(() => []);
    for (let turn = 1; turn <= 20; turn++) events.offer(opened(turn));
    events.offer(opened(3));
    expect(out).toHaveLength(20);
  });
});

type Place = readonly [number, number, number] | undefined;
function compare(a: Place, b: Place): number {
  if (!a || !b) return 0;
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
}

/** Between deltas of two attempts there is a restart. */
function expectRestarts(out: readonly StreamEvent[]): void {
  let spoken: number | undefined;
  for (const event of out) {
    if (event.type === "restart") spoken = undefined;
    if (event.type !== "delta") continue;
    if (spoken !== undefined) expect(event.attempt).toBe(spoken);
    spoken = event.attempt;
  }
}
