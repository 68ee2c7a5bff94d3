// Faults of NATS nodes: 4 leader killed, 5 rolling restart, 6 all killed, 8 node paused.
import { actorsBucket, inboundStream, inferStream } from "#contracts/subjects.ts";
import type { HistoryEvent } from "#test/harness/history.ts";
import type { NatsNode } from "#test/harness/nats-nodes.ts";
import { pause, waitUntil } from "#test/harness/wait.ts";
import { type Row, type RowOptions, type RowResult, underLoad } from "../row.ts";
import type { FaultRun } from "../run.ts";

/** A cluster of three that a small machine carries beside its members. */
export const THREE = { servers: 3, hosts: 2, workers: 2, perSecond: 40, sessions: 60 } as const;
/** While nodes die nobody sees every message that passes by: only what a stream keeps can be demanded. */
export const KEPT = { effects: ["record"] } as const;

const HEALTHY_MS = 120_000;
const SERVING_MS = 120_000;
const SERVED_MS = 15_000;
/** Longer than any gap that is allowed. */
const DOWN_MS = 13_000;

/** Resolves when a message of every shard, sent from now on, is answered. @returns how long that took */
export async function serving(run: FaultRun): Promise<number> {
  const from = Date.now();
  const shards = new Set<number>();
  let seen = run.recorder.events.length;
  const fresh = new Set<string>();
  await waitUntil(
    () => {
      for (; seen < run.recorder.events.length; seen++) {
        const event = run.recorder.events[seen] as HistoryEvent;
        if (event.type === "invoke") fresh.add(`${event.tenant}/${event.session}/${event.message}`);
        if (event.type !== "record") continue;
        const { tenant, session, messages } = event;
        if (messages.some(({ id }) => fresh.has(`${tenant}/${session}/${id}`)))
          shards.add(run.shardOf(tenant, session));
      }
      return shards.size === run.cluster.deployment.shards;
    },
    { timeoutMs: SERVING_MS, what: "every shard to answer again" },
  ).catch(async (error: Error) => {
    throw new Error(`${error.message}: ${await run.diagnosis()}`);
  });
  return Date.now() - from;
}

/** A stream of those a turn passes, drawn from the seed. */
export function someStream(run: FaultRun): string {
  const shards = Array.from({ length: run.cluster.deployment.shards }, (_, s) => s);
  return run.random.pick([
    ...shards.flatMap((s) => [inboundStream(s), `KV_${actorsBucket(s)}`]),
    inferStream("default"),
  ]);
}

export async function leader(run: FaultRun, stream: string): Promise<NatsNode> {
  return waitUntil(() => run.cluster.nats.leaderOf(run.cluster.bus, stream).catch(() => undefined), {
    timeoutMs: HEALTHY_MS,
    what: `a leader of ${stream}`,
    pollMs: 100,
  });
}

const leaderKilled: Row = {
  fault: 4,
  name: "stream leader killed",
  target: "gap <= 12 s, 0 lost",
  control: "one replica: nobody else can lead what the node has led, which is down for 13 s",
  run: (options) =>
    underLoad(
      options,
      { ...THREE, ...KEPT, replicas: options.control ? 1 : 3 },
      { longestShardGapMs: 12_000 },
      async (run) => {
        const { nats, bus } = run.cluster;
        for (let n = 1; n <= (options.times ?? 4) && !run.timeIsUp; n++) {
          const stream = someStream(run);
          const node = await leader(run, stream);
          await run.note("stream leader killed");
          await node.kill();
          if (options.control) await pause(DOWN_MS);
          else run.say(`${n}: leader of ${stream} killed, serving after ${await serving(run)} ms`);
          await node.start();
          await nats.healthy(bus, HEALTHY_MS);
          run.say(`${n}: healthy again, ${run.progress}`);
        }
        return {};
      },
    ),
};

const rollingRestart: Row = {
  fault: 5,
  name: "rolling restart of NATS",
  target: "gap <= 2 s a node, 0 lost",
  control: "killed instead of stopped: a node hands over nothing that it leads",
  run: (options) =>
    underLoad(options, { ...THREE, ...KEPT }, { longestShardGapMs: 2_000 }, async (run) => {
      const { nats, bus } = run.cluster;
      for (let n = 1; n <= (options.times ?? 1); n++)
        for (const node of nats.nodes) {
          await run.note("node restarted");
          await (options.control ? node.kill() : node.stop());
          await node.start();
          await nats.healthy(bus, HEALTHY_MS);
          run.say(`${node.name} restarted, ${run.progress}`);
          await serving(run);
        }
      return {};
    }),
};

const allKilled: Row = {
  fault: 6,
  name: "all NATS nodes killed",
  target: "serving <= 15 s, 0 lost",
  control: "hosts forget what they have processed",
  run: (options) =>
    underLoad(
      options,
      { ...THREE, ...KEPT, unsafe: options.control ? { ignoreRing: true } : undefined },
      { servingMs: SERVED_MS },
      async (run) => {
        const { nats, bus } = run.cluster;
        let servingMs = 0;
        const times = options.times ?? 3;
        for (let n = 1; n <= times && !run.timeIsUp; n++) {
          await run.note("all NATS nodes killed");
          const from = Date.now();
          await nats.kill();
          await nats.restart();
          await serving(run);
          const ms = Date.now() - from;
          servingMs = Math.max(servingMs, ms);
          run.say(`${n}: serving again after ${ms} ms`);
          await nats.healthy(bus, HEALTHY_MS);
        }
        return { servingMs };
      },
    ),
};

const nodePaused: Row = {
  fault: 8,
  name: "NATS node paused 2-30 s",
  target: "no commit on stale state, gap <= 12 s",
  control: "hosts stay on a paused node, read state from any replica, and write over whatever is there",
  run: (options) =>
    underLoad(
      options,
      {
        ...THREE,
        ...KEPT,
        // So few that nearly every message reads its actor's state.
        residency: 4,
        unsafe: options.control ? { ignoreFence: true, staleReads: true, stayIsolated: true } : undefined,
      },
      { longestShardGapMs: 12_000 },
      (run) => pauses(run, options),
    ),
};

async function pauses(run: FaultRun, options: RowOptions): Promise<RowResult["figures"]> {
  const { nats, bus } = run.cluster;
  let longestPauseMs = 0;
  for (let n = 1; n <= (options.times ?? 4) && !run.timeIsUp; n++) {
    const stream = someStream(run);
    const node = await leader(run, stream);
    // Of four pauses one is long, the others as the seed has it.
    const drawn = n % 4 === 2 ? 30_000 : run.random.int(2_000, 12_000);
    // So long that others own what its clients had, and so short that these are still there.
    const ms = options.control ? 8_000 : drawn;
    longestPauseMs = Math.max(longestPauseMs, ms);
    await run.note("node paused");
    await node.freeze();
    await pause(ms);
    node.thaw();
    await nats.healthy(bus, HEALTHY_MS);
    run.say(`${n}: leader of ${stream} paused ${ms} ms, ${run.progress}`);
    await serving(run);
  }
  return { longestPauseMs };
}

export const serverRows: readonly Row[] = [leaderKilled, rollingRestart, allKilled, nodePaused];
