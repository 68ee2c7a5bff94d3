// Fault 18: somebody deletes consumers, pauses them, or has their leaders step down.
import { createKnowledgeStore } from "#actors/knowledge/store.ts";
import { PARTITIONS, shardOf } from "#contracts/ids.ts";
import {
  CLASSES,
  inboundStream,
  indexerConsumer,
  inferConsumer,
  inferStream,
  KNOWLEDGE,
} from "#contracts/subjects.ts";
import { systemClock } from "#runtime/clock.ts";
import { onPaused } from "#runtime/nats/paused.ts";
import { type EmbeddingModel, embeddingModel } from "#test/harness/embedding-model.ts";
import type { Random } from "#test/harness/random.ts";
import { waitUntil } from "#test/harness/wait.ts";
import { type Row, type RowOptions, type RowResult, underLoad } from "../row.ts";
import type { FaultRun } from "../run.ts";
import { serving, THREE } from "./servers.ts";

const ROUNDS = 27;
const HEALED_MS = 15_000;
const PATIENCE_MS = 30_000;
const PAUSED_MS = 3_600_000;
const DEEDS = ["deleted", "paused", "stepped down"] as const;
type Deed = (typeof DEEDS)[number];

/** Consumers that stand for one another: of a partition there is one an epoch. */
interface Target {
  readonly kind: "partition" | "lane" | "reader";
  readonly stream: string;
  readonly isOne: (consumer: string) => boolean;
}

type ConsumerInfo = Awaited<ReturnType<FaultRun["cluster"]["bus"]["jsm"]["consumers"]["info"]>>;

function someTarget(run: FaultRun, random: Random, kind: Target["kind"], space: string): Target {
  switch (kind) {
    case "partition": {
      const partition = random.int(0, PARTITIONS - 1);
      const stream = inboundStream(shardOf(partition, run.cluster.deployment.shards));
      return { kind, stream, isOne: (name) => name.startsWith(`p${partition}-e`) };
    }
    case "lane": {
      const name = inferConsumer(random.pick(CLASSES), random.oneIn(2) ? 0 : 1);
      return { kind, stream: inferStream("default"), isOne: (other) => other === name };
    }
    case "reader": {
      const name = random.oneIn(2) ? "invalidator" : indexerConsumer(space);
      return { kind, stream: KNOWLEDGE, isOne: (other) => other === name };
    }
  }
}

async function consumerOf(run: FaultRun, { stream, isOne }: Target): Promise<ConsumerInfo | undefined> {
  const found: ConsumerInfo[] = [];
  for await (const info of run.cluster.bus.jsm.consumers.list(stream)) if (isOne(info.name)) found.push(info);
  return found.at(-1);
}

async function commit(run: FaultRun, deed: Deed, target: Target): Promise<ConsumerInfo> {
  const { bus } = run.cluster;
  const before = await waitUntil(() => consumerOf(run, target), {
    timeoutMs: PATIENCE_MS,
    what: `a consumer of ${target.stream} to do something to`,
  });
  const { stream } = target;
  switch (deed) {
    case "deleted":
      await bus.jsm.consumers.delete(stream, before.name);
      break;
    case "paused":
      await pause(run, stream, before.name);
      break;
    case "stepped down":
      await bus.request(`$JS.API.CONSUMER.LEADER.STEPDOWN.${stream}.${before.name}`, new Uint8Array(), 5_000);
      break;
  }
  return before;
}

/** Resolves when it stands still: the server says so before anybody can have made it go on. */
async function pause({ cluster }: FaultRun, stream: string, name: string): Promise<void> {
  let stood = false;
  const heard = onPaused(cluster.bus, (where, which) => {
    if (where === stream && which === name) stood = true;
  });
  await cluster.bus.jsm.consumers.pause(stream, name, new Date(Date.now() + PAUSED_MS));
  await waitUntil(() => stood, { timeoutMs: PATIENCE_MS, what: `${name} to be paused` });
  heard.stop();
}

/**
 * It is there, goes on, and nothing waits for its first delivery; what nobody makes go on in time the harness does, so
 * that the run can end and be judged. @returns how long that took
 */
async function healed(run: FaultRun, deed: Deed, target: Target, before: ConsumerInfo): Promise<number> {
  const from = Date.now();
  await waitUntil(
    async () => {
      const now = await consumerOf(run, target).catch(() => undefined);
      const made = deed !== "deleted" || now?.created !== before.created;
      return now !== undefined && made && !now.paused && now.num_pending === 0;
    },
    { timeoutMs: PATIENCE_MS, what: `${before.name} of ${target.stream} to go on after it was ${deed}` },
  ).catch(async (error: Error) => {
    run.say(error.message);
    const { stream } = target;
    const now = await consumerOf(run, target);
    if (now?.paused) await run.cluster.bus.jsm.consumers.resume(stream, now.name);
  });
  return Date.now() - from;
}

/** Each deed to each kind of consumer as often as every other one. */
function roundsOf(random: Random, times: number): { deed: Deed; kind: Target["kind"] }[] {
  const kinds = ["partition", "lane", "reader"] as const;
  const pairs = DEEDS.flatMap((deed) => kinds.map((kind) => ({ deed, kind })));
  const rounds: { deed: Deed; kind: Target["kind"] }[] = [];
  while (rounds.length < times) rounds.push(...random.shuffle(pairs));
  return rounds.slice(0, times);
}

async function meddle(run: FaultRun, options: RowOptions, space: string): Promise<RowResult["figures"]> {
  const { cluster } = run;
  await Promise.all([cluster.start("invalidator"), cluster.start("indexer")]);
  const random = run.random.fork("consumers");
  const store = createKnowledgeStore(cluster.bus, systemClock);
  const longest: Record<string, number> = {};
  try {
    for (const [n, { deed, kind }] of roundsOf(random, options.times ?? ROUNDS).entries()) {
      if (run.timeIsUp) break;
      const target = someTarget(run, random, kind, space);
      await run.note(`${kind} consumer ${deed}`);
      const before = await commit(run, deed, target);
      // Readers have something to do only when a document changes.
      if (kind === "reader")
        await store.put("tenant-0", "c", `d${n % 8}`, { title: "t", text: `version ${n}`, locale: "en" });
      const ms = await healed(run, deed, target, before);
      const name = `${kind}.${deed.replace(" ", "-")}Ms`;
      longest[name] = Math.max(longest[name] ?? 0, ms);
      run.say(
        `${n + 1}: ${before.name} of ${target.stream} ${deed}, goes on after ${ms} ms, ${run.progress}`,
      );
      if (kind !== "reader") await serving(run);
    }
  } finally {
    store.stop();
  }
  return { ...longest, healedMs: Math.max(0, ...Object.values(longest)) };
}

async function withModel(work: (model: EmbeddingModel) => Promise<RowResult>): Promise<RowResult> {
  const model = await embeddingModel();
  try {
    return await work(model);
  } finally {
    await model.stop();
  }
}

/** Of one model there is one space of vectors, and it has the model's name. */
const MODEL = "meanings";

const consumersHit: Row = {
  fault: 18,
  name: "consumer deleted, paused, leader stepped down",
  target: "goes on <= 15 s, 0 lost, all drained",
  control: "hosts leave paused consumers of partitions alone",
  run: (options) =>
    withModel((model) =>
      underLoad(
        options,
        {
          ...THREE,
          embeddings: { baseUrl: model.baseUrl, model: MODEL },
          unsafe: options.control ? { ignorePauses: true } : undefined,
        },
        { healedMs: HEALED_MS },
        (run) => meddle(run, options, MODEL),
      ),
    ),
};

export const consumerRows: readonly Row[] = [consumersHit];
