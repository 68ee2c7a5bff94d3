// Consumers that somebody paused go on, whoever reads them: a host, a worker's queue, a durable reader.
import { afterEach, expect, test } from "vitest";
import { DEADLETTER, inboundStream, inferConsumer, inferStream, routeOf } from "#contracts/subjects.ts";
import { readDurably } from "#runtime/nats/durable.ts";
import { WorkQueue } from "#runtime/nats/work-queue.ts";
import { ActorWorld } from "#test/harness/actor-world.ts";
import { type CounterState, counter } from "#test/harness/counter.ts";
import { waitUntil } from "#test/harness/wait.ts";

let world: ActorWorld;
afterEach(() => world?.stop());

const pause = async (stream: string, consumer: string): Promise<void> => {
  const { paused } = await world.bus.jsm.consumers.pause(stream, consumer, new Date(Date.now() + 3_600_000));
  expect(paused).toBe(true);
};
const resumed = (stream: string, consumer: string): Promise<unknown> =>
  waitUntil(async () => !(await world.bus.jsm.consumers.info(stream, consumer)).paused, {
    what: `${consumer} to go on`,
    pollMs: 50,
  });

test("a partition's consumer that is paused goes on, and its messages are handled", async () => {
  world = await ActorWorld.start(1);
  const { host } = await world.host([counter]);
  const { partition } = routeOf({ kind: "counter", tenant: "demo", key: "k" });
  await pause(inboundStream(0), `p${partition}-e${host.epochOf(partition)}`);
  await world.tell("counter", "k", "add", { name: "one" });
  await waitUntil(async () => (await world.state<CounterState>("counter", "k"))?.seen.join() === "one", {
    what: "the message to be handled",
  });
});

test("one that was paused while nobody read it goes on when somebody does", async () => {
  world = await ActorWorld.start(1, ["default"]);
  const reading = {
    stream: DEADLETTER,
    name: "reader",
    filter: "dead.>",
    inFlight: 1,
    handle: async () => {},
  };
  await (await readDurably(world.bus, reading)).stop();
  (await WorkQueue.open(world.bus, "default")).close();
  const lane = inferConsumer("new", 0);
  await pause(DEADLETTER, "reader");
  await pause(inferStream("default"), lane);
  const reader = await readDurably(world.bus, reading);
  const queue = await WorkQueue.open(world.bus, "default");
  await resumed(DEADLETTER, "reader");
  await resumed(inferStream("default"), lane);
  await reader.stop();
  queue.close();
});
