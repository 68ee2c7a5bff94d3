/**
 * `jetclaw bench conversations`: very many stored conversations. The server is killed and all is started again; then
 * conversations are asked that are not in memory, and asked again while they are; then ever new ones, with a cap on how
 * many stay in memory.
 */
import { join } from "node:path";
import { configSchema } from "#contracts/config.ts";
import { actorsBucket, turnsStream } from "#contracts/subjects.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { streamState } from "#runtime/nats/reader.ts";
import { startNatsServer } from "#runtime/nats/server.ts";
import { createLog } from "#runtime/observe/log.ts";
import { Presence } from "#runtime/observe/presence.ts";
import { connectTo, provisionFor } from "../compose/open.ts";
import { poisson } from "./arrivals.ts";
import { rssMbOfProcess } from "./children.ts";
import { startCleanly } from "./cleanup.ts";
import { type Deployed, echoConfig, type LoadBench, startDeployed } from "./deployed.ts";
import { loadResult } from "./load-result.ts";
import { type Asked, OpenLoop, type Question } from "./open-loop.ts";
import { type BenchResult, fsyncP50Ms, quantile, randomFrom, round, textOf, trendOf } from "./shape.ts";
import { type StoredBytes, sessionOf, storeConversations } from "./stored-conversations.ts";

export interface ConversationsOptions extends LoadBench {
  readonly stored: number;
  readonly pastTurns: number;
  readonly residency: number;
  readonly rate: number;
  readonly inFlight: number;
  readonly memorySeconds: number;
}

const SLOTS = 256;
const TEXT_BYTES = 200;
/** A conversation is asked again after this long, when its turn is closed for certain. */
const WARM_AFTER_MS = 2_000;
const SAMPLE_MS = 250;
/** What is filled before the samples that a trend is taken over: caches, compiled code, the cap itself. */
const SETTLING_SHARE = 0.3;
/** From then on the heap is collected before it is measured, which changes what the process holds of the system. */
const COLLECTED_SHARE = 0.6;
const COLLECT_MS = 1_000;

export async function benchConversations(options: ConversationsOptions): Promise<BenchResult> {
  const folder = join(options.folder, "conversations");
  const fsync = fsyncP50Ms(options.folder);
  const written = await writeAll(options, folder);
  options.say("everything is started again after a kill of the server");
  const { deployed, startMs } = await startAll(options, folder);
  let seen: Omit<Seen, "startAfterStopMs">;
  try {
    const turns = await coldAndWarm(options, deployed);
    seen = { ...written, startMs, turns, ...(await everNew(options, deployed)) };
  } finally {
    await deployed.stop();
  }
  options.say("and once more, after an orderly end");
  const again = await startAll(options, folder);
  await again.deployed.stop();
  return resultOf(options, fsync, { ...seen, startAfterStopMs: again.startMs });
}

async function startAll(
  options: ConversationsOptions,
  folder: string,
): Promise<{ readonly deployed: Deployed; readonly startMs: number }> {
  const from = performance.now();
  const deployed = await startDeployed({
    natsBin: options.natsBin,
    folder,
    hosts: 1,
    workers: 1,
    slots: SLOTS,
    governors: 0,
    simulators: [],
    config: () => configOf(options),
  });
  return { deployed, startMs: performance.now() - from };
}

const configOf = ({ residency }: ConversationsOptions) => echoConfig(SLOTS, { residency });

interface Written {
  readonly bytes: StoredBytes;
  readonly writeSeconds: number;
  readonly serverRssFullMb: number;
}

/** Leaves a killed server's folder behind. */
const writeAll = (
  { stored, pastTurns, natsBin: bin, seed, say, ...options }: ConversationsOptions,
  dataDir: string,
) =>
  startCleanly(async (cleanup): Promise<Written> => {
    const server = await startNatsServer({ bin, dataDir, port: 0, syncInterval: "1s", log: () => {} });
    cleanup.add(() => server.stop());
    const bus = await connectTo(server.url, "bench-client", createLog({ level: "error" }));
    cleanup.add(() => bus.close());
    const config = configSchema.parse(configOf({ stored, pastTurns, natsBin: bin, seed, say, ...options }));
    const deployment = await provisionFor(bus, config);
    const from = performance.now();
    const turns = pastTurns + 1;
    const bytes = await storeConversations(bus, deployment, { count: stored, turns, seed, say });
    const found = await foundIn(bus, deployment.shards, (s) => `KV_${actorsBucket(s)}`);
    const wanted = stored * (bytes.kept > 0 ? 2 : 1);
    if (found !== wanted) throw new Error(`${found} of ${wanted} records and copies were stored`);
    const placed = await foundIn(bus, deployment.shards, turnsStream);
    if (placed !== stored * turns) throw new Error(`${placed} of ${stored * turns} turns were stored`);
    const writeSeconds = (performance.now() - from) / 1_000;
    const serverRssFullMb = rssMbOfProcess(server.pid);
    process.kill(server.pid, "SIGKILL");
    await cleanup.run();
    return { bytes, writeSeconds, serverRssFullMb };
  });

async function foundIn(bus: Bus, shards: number, streamOf: (shard: number) => string): Promise<number> {
  const states = await Promise.all(Array.from({ length: shards }, (_, s) => streamState(bus, streamOf(s))));
  return states.reduce((sum, { messages }) => sum + messages, 0);
}

/** Half of the turns find their conversation in the store alone, the other half in memory, at the same times. */
async function coldAndWarm(
  { seed, seconds, rate, stored, say }: ConversationsOptions,
  { bus }: Deployed,
): Promise<readonly Asked[]> {
  const loop = await OpenLoop.open(bus);
  const random = randomFrom(seed);
  const count = Math.min(stored, Math.floor((seconds * rate) / 2));
  // From the far end: the other phase takes them from the near one.
  const session = (n: number): number => stored - 1 - (n % stored);
  say(`${count} conversations are asked for the first time, and again`);
  const began = loop.now() + 100;
  const moments = [...poisson(random, rate / 2, began, began + seconds * 1_000)];
  const asks = moments
    .flatMap((at, n) => [
      { at, n, group: "cold" },
      { at: at + WARM_AFTER_MS, n, group: "warm" },
    ])
    .sort((a, b) => a.at - b.at);
  let next = 0;
  await loop.play(
    asks.map(({ at }) => at),
    () => {
      const { n, group } = asks[next++] as (typeof asks)[number];
      return { ...sessionOf(session(n)), text: textOf(TEXT_BYTES, random), group };
    },
  );
  await loop.settled(30_000);
  // While hosts and compilers are cold, everything is.
  return loop.asked.filter(({ dueAt }) => dueAt > began + WARM_AFTER_MS * 2);
}

type Sample = readonly [minute: number, mb: number];

interface Memory {
  readonly rss: readonly Sample[];
  readonly heap: readonly Sample[];
  readonly residentMost: number;
  readonly activated: number;
  /** Conversations that were new, a minute. */
  readonly perMinute: number;
  readonly serverRssMb: number;
}

async function everNew(
  { seed, memorySeconds, inFlight, say }: ConversationsOptions,
  { bus, hosts: [host], natsPid }: Deployed,
): Promise<Memory> {
  const random = randomFrom(seed);
  let n = 0;
  let going = true;
  const question = (): Question => ({ ...sessionOf(n++), text: textOf(TEXT_BYTES, random), group: "new" });
  let ask = (): void => {};
  const loop = await OpenLoop.open(bus, () => going && ask());
  ask = () => loop.ask(question());
  const presence = new Presence(bus, "conversation");
  const rss: Sample[] = [];
  const heap: Sample[] = [];
  let residentMost = 0;
  say(`ever new conversations for ${memorySeconds} s, ${inFlight} at once`);
  for (let started = 0; started < inFlight; started++) ask();
  const from = performance.now();
  const share = (): number => (performance.now() - from) / (memorySeconds * 1_000);
  const minute = (): number => (performance.now() - from) / 60_000;
  while (host && share() < 1) {
    const collected = share() > COLLECTED_SHARE;
    await new Promise((resolve) => setTimeout(resolve, collected ? COLLECT_MS : SAMPLE_MS));
    if (collected) heap.push([minute(), await host.heapMb()]);
    else rss.push([minute(), (await host.usage()).rssMb]);
    for (const { info } of presence.live()) residentMost = Math.max(residentMost, Number(info.resident));
  }
  const activated = n;
  const perMinute = activated / minute();
  going = false;
  await loop.settled(30_000);
  presence.stop();
  return { rss, heap, residentMost, activated, perMinute, serverRssMb: rssMbOfProcess(natsPid) };
}

const inSeconds = (samples: readonly Sample[]): [second: number, mb: number][] =>
  samples.map(([minute, mb]) => [round(minute * 60, 1), round(mb, 1)]);

/** Heap and resident memory apart: the one says whether anything is kept, the other what the system has to give. */
function memoryOf({ memorySeconds }: ConversationsOptions, { rss, heap, perMinute }: Memory) {
  const settled = rss.filter(([minute]) => minute * 60 > memorySeconds * SETTLING_SHARE);
  const ofRss = trendOf(settled);
  const ofHeap = trendOf(heap);
  return {
    figures: {
      hostRssStartMb: round(rss[0]?.[1] ?? 0, 0),
      hostRssMostMb: round(Math.max(...rss.map(([, mb]) => mb)), 0),
      hostRssMbPerMinute: round(ofRss.perMinute, 1),
      hostRssChanceMbPerMinute: round(ofRss.chancePerMinute, 1),
      heapMb: round(heap.at(-1)?.[1] ?? 0, 1),
      heapMbPerMinute: round(ofHeap.perMinute, 2),
      heapChanceMbPerMinute: round(ofHeap.chancePerMinute, 2),
      heapBytesPerConversation: round((ofHeap.perMinute * 2 ** 20) / perMinute, 0),
    },
    verdicts: { hostRss: ofRss.verdict, heap: ofHeap.verdict },
  };
}

function unitOf(name: string): string {
  if (name.startsWith("heapBytes")) return "bytes";
  if (name.endsWith("Ms")) return "ms";
  if (name.endsWith("Seconds")) return "s";
  if (name.endsWith("PerMinute")) return "MB/min";
  if (name.endsWith("Mb")) return "MB";
  return name === "residentMost" ? "actors" : "conversations";
}

interface Seen extends Written, Memory {
  readonly startMs: number;
  readonly startAfterStopMs: number;
  readonly turns: readonly Asked[];
}

function resultOf(options: ConversationsOptions, fsync: number, seen: Seen): BenchResult {
  const latencies = (group: string): number[] =>
    seen.turns.flatMap((asked) =>
      asked.group === group && asked.latencyMs !== undefined ? [asked.latencyMs] : [],
    );
  const of = (group: string, q: number): number => round(quantile(latencies(group), q), 2);
  const memory = memoryOf(options, seen);
  const figures = {
    startToReadyMs: round(seen.startMs, 0),
    startAfterStopToReadyMs: round(seen.startAfterStopMs, 0),
    coldP50Ms: of("cold", 0.5),
    coldP99Ms: of("cold", 0.99),
    coldOverWarmP50Ms: round(of("cold", 0.5) - of("warm", 0.5), 2),
    coldOverWarmP99Ms: round(of("cold", 0.99) - of("warm", 0.99), 2),
    ...memory.figures,
    residentMost: seen.residentMost,
    activated: seen.activated,
    serverRssMb: round(seen.serverRssMb, 0),
    serverRssAfterWritingMb: round(seen.serverRssFullMb, 0),
    writeSeconds: round(seen.writeSeconds, 1),
    unanswered: seen.turns.filter(({ records }) => records === 0).length,
  };
  const baselines = { warmP50Ms: of("warm", 0.5), warmP99Ms: of("warm", 0.99) };
  const { stored, pastTurns, residency, rate, inFlight, seconds, memorySeconds } = options;
  return loadResult(options, {
    bench: "conversations",
    config: {
      stored,
      pastTurns,
      residency,
      rate,
      inFlight,
      seconds,
      memorySeconds,
      payloads: {
        recordBytes: seen.bytes.record,
        keptBytes: seen.bytes.kept,
        turnBytes: seen.bytes.turn,
        messageBytes: TEXT_BYTES,
      },
      model: "echo",
    },
    processes: { hosts: 1, workers: 1 },
    fsyncP50Ms: fsync,
    figures,
    unitOf,
    baselines,
    verdicts: memory.verdicts,
    series: { hostRssMb: inSeconds(seen.rss), heapMb: inSeconds(seen.heap) },
  });
}
