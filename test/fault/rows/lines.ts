// Faults of the lines between nodes and to clients: 10 leader isolated, 11 one way, 12 lost acknowledgements, 13 delay.
import { inboundStream } from "#contracts/subjects.ts";
import type { NatsNode } from "#test/harness/nats-nodes.ts";
import { pause } from "#test/harness/wait.ts";
import { handovers } from "../modes.ts";
import { type Row, type RowOptions, underLoad } from "../row.ts";
import type { FaultRun } from "../run.ts";
import { KEPT, leader, serving, THREE } from "./servers.ts";

const HEALTHY_MS = 120_000;
const ISOLATED_MS = 20_000;
const LOSSY_MS = 20_000;

const UNPROTECTED =
  "clients stay on a node that is cut off, and what is lost between nodes is left to its ack wait";
const unprotected = ({ control, netns }: RowOptions) => ({
  netns,
  ...(control ? { unsafe: { stayIsolated: true, ignoreLosses: true } } : {}),
});

/** Waits while a node is cut off. @returns how many of its clients stayed, and when the last one of the others went */
async function leaving(run: FaultRun, node: NatsNode): Promise<{ left: number; goneMs: number }> {
  const from = Date.now();
  const { nats } = run.cluster;
  let on = await nats.clientsOn(node);
  let goneMs = 0;
  while (Date.now() - from < ISOLATED_MS) {
    const now = await nats.clientsOn(node);
    for (const name of on)
      if (!now.includes(name)) {
        goneMs = Date.now() - from;
        run.say(`${name} left ${node.name} after ${goneMs} ms`);
      }
    on = now;
    await pause(100);
  }
  return { left: on.length, goneMs };
}

const leaderIsolated: Row = {
  fault: 10,
  name: "leader isolated from the other nodes",
  target: "majority <= 12 s, clients move <= 5 s, 0 lost",
  control: UNPROTECTED,
  byNetns: true,
  run: (options) =>
    underLoad(
      options,
      { ...THREE, ...KEPT, ...unprotected(options) },
      { longestShardGapMs: 12_000, clientsLeft: 0, movedMs: 5_000 },
      async (run) => {
        const { nats, bus } = run.cluster;
        let clientsLeft = 0;
        let movedMs = 0;
        for (let n = 1; n <= (options.times ?? 3) && !run.timeIsUp; n++) {
          const stream = inboundStream(run.random.int(0, run.cluster.deployment.shards - 1));
          const node = await leader(run, stream);
          await run.note("leader isolated");
          await nats.isolate(node);
          const { left, goneMs } = await leaving(run, node);
          clientsLeft = Math.max(clientsLeft, left);
          movedMs = Math.max(movedMs, goneMs);
          await nats.heal();
          await nats.healthy(bus, HEALTHY_MS);
          run.say(
            `${n}: ${node.name} isolated, ${left} clients left, the last one gone after ${goneMs} ms, ${run.progress}`,
          );
          await serving(run);
        }
        return { clientsLeft, movedMs };
      },
    ),
};

const oneWay: Row = {
  fault: 11,
  name: "one-way partition",
  target: "heals <= 120 s, all drained",
  control: UNPROTECTED,
  byNetns: true,
  run: (options) =>
    underLoad(
      options,
      { ...THREE, ...KEPT, ...unprotected(options) },
      { healedMs: 120_000, clientsLeft: 0 },
      async (run) => {
        const { nats, bus } = run.cluster;
        let [healedMs, clientsLeft] = [0, 0];
        for (let n = 1; n <= (options.times ?? 2) && !run.timeIsUp; n++) {
          const node = await leader(run, inboundStream(0));
          await run.note("one-way partition");
          await nats.isolate(node, "one-way");
          const { left, goneMs } = await leaving(run, node);
          clientsLeft = Math.max(clientsLeft, left);
          const from = Date.now();
          await nats.heal();
          await nats.healthy(bus, HEALTHY_MS);
          await serving(run);
          healedMs = Math.max(healedMs, Date.now() - from);
          run.say(
            `${n}: ${left} clients left, the last one gone after ${goneMs} ms, healed after ${healedMs} ms, ${run.progress}`,
          );
        }
        return { healedMs, clientsLeft };
      },
    ),
};

async function acksLost(options: RowOptions, servers: 1 | 3) {
  return underLoad(
    options,
    {
      ...THREE,
      servers,
      lines: true,
      peopleOnLines: true,
      unsafe: options.control ? { ignoreRing: true } : undefined,
    },
    {},
    async (run) => {
      const { nats } = run.cluster;
      if (options.times === 0) return { droppedAcks: 0 };
      await run.note("acknowledgements lost");
      await nats.disturbClients({ dropAcks: 0.05 });
      await pause(LOSSY_MS);
      await handovers(run, 1);
      await nats.heal();
      const counts = Object.values((await nats.lines?.counts()) ?? {});
      const droppedAcks = counts.reduce((sum, { droppedAcks }) => sum + droppedAcks, 0);
      if (droppedAcks === 0) throw new Error("no acknowledgement was dropped: nothing was tried");
      return { droppedAcks };
    },
  );
}

const lostAck: Row = {
  fault: 12,
  name: "lost acknowledgements, R1 and R3",
  target: "0 doubled, 0 lost",
  control: "hosts forget what they have processed",
  run: async (options) => {
    const one = await acksLost(options, 1);
    // What a control run has to find it finds on one server.
    if (options.control) return one;
    const three = await acksLost(options, 3);
    const named = Object.entries(one.figures).map(([name, value]) => [`r1.${name}`, value]);
    return {
      figures: { ...Object.fromEntries(named), ...three.figures },
      broken: [...one.broken.map((each) => `R1: ${each}`), ...three.broken.map((each) => `R3: ${each}`)],
    };
  },
};

const delay: Row = {
  fault: 13,
  name: "delay of 100 +- 50 ms on every line",
  target: "0 violations",
  control:
    "hosts forget what they have processed: acks on their slow way are overtaken by the handover of their partition",
  run: (options) =>
    underLoad(
      // The minutes are those under the delay; the handovers come after them.
      { ...options, minutes: undefined },
      // A conversation knows repeats by its open turn and its records too; an author's actor has nothing but the ring.
      { ...THREE, tallies: 24, unsafe: options.control ? { ignoreRing: true } : undefined },
      {},
      async (run) => {
        const { nats } = run.cluster;
        if (options.times === 0) return {};
        await run.note("delay");
        const slow = { delayMs: 100, jitterMs: 50 };
        await nats.disturbClients(slow);
        await nats.disturbRoutes(slow);
        await pause((options.minutes ?? 0.5) * 60_000);
        await handovers(run, options.times ?? 2);
        await nats.heal();
        return {};
      },
    ),
};

export const lineRows: readonly Row[] = [leaderIsolated, oneWay, lostAck, delay];
