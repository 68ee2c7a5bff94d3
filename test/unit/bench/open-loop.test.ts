// Messages that are not stored: none of them may vanish from the figures, and none may end the wait for others.
import { expect, test } from "vitest";
import { encode } from "#contracts/codec.ts";
import type { FailoverOptions } from "#ops/bench/failover.ts";
import { failoverResult } from "#ops/bench/failover-figures.ts";
import { OpenLoop } from "#ops/bench/open-loop.ts";
import type { Bus } from "#runtime/nats/connect.ts";

const QUESTION = { tenant: "t", session: "s", text: "Hi", group: "turn" };

/** A bus that stores nothing. `answer` tells of a turn as a host would. */
function brokenBus(): { bus: Bus; answer: (id: string) => void } {
  let told: (message: { data: Uint8Array }) => void = () => {};
  const bus = {
    subscribe: (_: string, handler: typeof told) => {
      told = handler;
    },
    flush: async () => {},
    append: () => Promise.reject(new Error("no acknowledgement")),
  } as unknown as Bus;
  const answer = (id: string): void =>
    told({ data: encode({ type: "turn", id: `turn-${id}`, outcome: "answered", messages: [{ id }] }) });
  return { bus, answer };
}

test("one that was stored although its acknowledgement was lost counts as answered, and nobody waits for it twice", async () => {
  const { bus, answer } = brokenBus();
  const loop = await OpenLoop.open(bus);
  loop.ask(QUESTION);
  await loop.settled(20_000);
  expect(loop.asked).toMatchObject([{ unsent: true }]);
  answer("q0");
  loop.ask(QUESTION);
  answer("q1");
  await new Promise((resolve) => setImmediate(resolve));
  expect(loop.asked).toMatchObject([
    { unsent: false, records: 1 },
    { unsent: false, records: 1 },
  ]);
  expect(loop.waiting).toBe(0);
});

test("a benchmark of failover says how many could not be stored", async () => {
  const { bus } = brokenBus();
  const loop = await OpenLoop.open(bus);
  loop.ask(QUESTION);
  await loop.settled(20_000);
  const window = { from: 0, until: 1, took: 1 };
  const { figures } = failoverResult({ natsServer: "none" } as FailoverOptions, {
    fsync: 0,
    asked: loop.asked,
    faults: { quiet: window, drain: window, joined: window, killedAt: 0, sessionsOfKilled: new Set() },
  });
  expect(figures).toMatchObject({ turns: 1, turnsLost: 0, turnsUnsent: 1 });
});
