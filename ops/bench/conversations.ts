/**
 * `jetclaw bench conversations`: very many stored conversations. The server is killed and all is started again; then
 * conversations are asked that are not in memory, and asked again while they are; then ever new ones, with a cap on how
 * many stay in memory.
 */
import { join } from "node:path";
import type { ConfigInput } from "#contracts/config.ts";
import { configSchema } from "#contracts/config.ts";
import { actorsBucket } from "#contracts/subjects.ts";
import { streamState } from "#runtime/nats/reader.ts";
import { startNatsServer } from "#runtime/nats/server.ts";
import { createLog } from "#runtime/observe/log.ts";
import { Presence } from "#runtime/observe/presence.ts";
import { connectTo, provisionFor } from "../compose/open.ts";
import { poisson } from "./arrivals.ts";
import { rssMbOfProcess } from "./children.ts";
import { startCleanly } from "./cleanup.ts";
import { type Deployed, type LoadBench, startDeployed } from "./deployed.ts";
import { type Asked, OpenLoop, type Question } from "./open-loop.ts";
import {
  type BenchResult,
  describeMachine,
  fsyncP50Ms,
  quantile,
  randomFrom,
  round,
  slope,
  textOf,
} from "./shape.ts";
import { RECORD_BYTES, sessionOf, storeConversations } from "./stored-conversations.ts";

export interface ConversationsOptions extends LoadBench {
  readonly stored: number;
  readonly residency: number;
  readonly rate: number;
  readonly inFlight: number;
}

const SLOTS = 256;
const TEXT_BYTES = 200;
/** A conversation is asked again after this long, when its turn is closed for certain. */
const WARM_AFTER_MS = 2_000;
const SAMPLE_MS = 250;
/** What was filled before the samples that a slope is taken over: caches, compiled code, the cap itself. */
const SETTLING_SHARE = 0.5;

export async function benchConversations(options: ConversationsOptions): Promise<BenchResult> {
  const folder = join(options.folder, "conversations");
  const fsync = fsyncP50Ms(options.folder);
  const written = await writeAll(options, folder);
  options.say("everything is started again after a kill of the server");
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
  const startMs = performance.now() - from;
  try {
    const turns = await coldAndWarm(options, deployed);
    const memory = await everNew(options, deployed);
    return resultOf(options, fsync, { ...written, startMs, turns, ...memory });
  } finally {
    await deployed.stop();
  }
}

const configOf = ({ residency }: ConversationsOptions): ConfigInput => ({
  assistants: { bench: { instructions: "Answer briefly.", knowledge: [] } },
  pools: { default: { models: [{ name: "echo", provider: "echo", concurrency: SLOTS }] } },
  responseCache: false,
  residency,
});

interface Written {
  readonly writeSeconds: number;
  readonly serverRssFullMb: number;
}

/** Leaves a killed server's folder behind. */
const writeAll = ({ stored, natsBin: bin, seed, say, ...options }: ConversationsOptions, dataDir: string) =>
  startCleanly(async (cleanup): Promise<Written> => {
    const server = await startNatsServer({ bin, dataDir, port: 0, syncInterval: "1s", log: () => {} });
    cleanup.add(() => server.stop());
    const bus = await connectTo(server.url, "bench-client", createLog({ level: "error" }));
    cleanup.add(() => bus.close());
    const config = configSchema.parse(configOf({ stored, natsBin: bin, seed, say, ...options }));
    const deployment = await provisionFor(bus, config);
    const from = performance.now();
    await storeConversations(bus, deployment, { count: stored, seed, say });
    const states = await Promise.all(
      Array.from({ length: deployment.shards }, (_, s) => streamState(bus, `KV_${actorsBucket(s)}`)),
    );
    const found = states.reduce((sum, { messages }) => sum + messages, 0);
    if (found !== stored) throw new Error(`${found} of ${stored} conversations were stored`);
    const writeSeconds = (performance.now() - from) / 1_000;
    const serverRssFullMb = rssMbOfProcess(server.pid);
    process.kill(server.pid, "SIGKILL");
    await cleanup.run();
    return { writeSeconds, serverRssFullMb };
  });

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

interface Memory {
  readonly samples: readonly (readonly [minute: number, mb: number])[];
  readonly residentMost: number;
  readonly activated: number;
  readonly serverRssMb: number;
}

async function everNew(
  { seed, seconds, inFlight, say }: ConversationsOptions,
  { bus, hosts, natsPid }: Deployed,
): Promise<Memory> {
  const random = randomFrom(seed);
  let n = 0;
  let going = true;
  const question = (): Question => ({ ...sessionOf(n++), text: textOf(TEXT_BYTES, random), group: "new" });
  let ask = (): void => {};
  const loop = await OpenLoop.open(bus, () => going && ask());
  ask = () => loop.ask(question());
  const presence = new Presence(bus, "conversation");
  const samples: [number, number][] = [];
  let residentMost = 0;
  say(`ever new conversations, ${inFlight} at once`);
  for (let started = 0; started < inFlight; started++) ask();
  const from = performance.now();
  while (performance.now() - from < seconds * 1_000) {
    await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
    const used = await Promise.all(hosts.map((host) => host.usage()));
    samples.push([(performance.now() - from) / 60_000, used.reduce((sum, { rssMb }) => sum + rssMb, 0)]);
    for (const { info } of presence.live()) residentMost = Math.max(residentMost, Number(info.resident));
  }
  going = false;
  await loop.settled(30_000);
  presence.stop();
  return { samples, residentMost, activated: n, serverRssMb: rssMbOfProcess(natsPid) };
}

function unitOf(name: string): string {
  if (name.endsWith("Ms")) return "ms";
  if (name.endsWith("Seconds")) return "s";
  if (name.endsWith("PerMinute")) return "MB/min";
  if (name.endsWith("Mb")) return "MB";
  return name === "residentMost" ? "actors" : "conversations";
}

function resultOf(
  options: ConversationsOptions,
  fsync: number,
  seen: Written & Memory & { readonly startMs: number; readonly turns: readonly Asked[] },
): BenchResult {
  const latencies = (group: string): number[] =>
    seen.turns.flatMap((asked) =>
      asked.group === group && asked.latencyMs !== undefined ? [asked.latencyMs] : [],
    );
  const of = (group: string, q: number): number => round(quantile(latencies(group), q), 2);
  const settled = seen.samples.slice(Math.floor(seen.samples.length * SETTLING_SHARE));
  const figures = {
    startToReadyMs: round(seen.startMs, 0),
    coldP50Ms: of("cold", 0.5),
    coldP99Ms: of("cold", 0.99),
    coldOverWarmP50Ms: round(of("cold", 0.5) - of("warm", 0.5), 2),
    coldOverWarmP99Ms: round(of("cold", 0.99) - of("warm", 0.99), 2),
    hostRssStartMb: round(seen.samples[0]?.[1] ?? 0, 0),
    hostRssMostMb: round(Math.max(...seen.samples.map(([, mb]) => mb)), 0),
    hostRssMbPerMinute: round(slope(settled), 1),
    residentMost: seen.residentMost,
    activated: seen.activated,
    serverRssMb: round(seen.serverRssMb, 0),
    serverRssAfterWritingMb: round(seen.serverRssFullMb, 0),
    writeSeconds: round(seen.writeSeconds, 1),
    unanswered: seen.turns.filter(({ records }) => records === 0).length,
  };
  const baselines = { warmP50Ms: of("warm", 0.5), warmP99Ms: of("warm", 0.99) };
  const { stored, residency, rate, inFlight, seconds } = options;
  return {
    bench: "conversations",
    seed: options.seed,
    machine: describeMachine(options.natsServer),
    config: {
      stored,
      residency,
      rate,
      inFlight,
      seconds,
      payloads: { recordBytes: RECORD_BYTES, messageBytes: TEXT_BYTES },
      model: "echo",
      sync: "1s",
      fsyncP50Ms: fsync,
      traceSampling: 0,
      processes: { client: 1, hosts: 1, workers: 1, natsServer: 1 },
    },
    figures,
    units: Object.fromEntries(
      [...Object.keys(figures), ...Object.keys(baselines)].map((name) => [name, unitOf(name)]),
    ),
    baselines,
    series: {
      hostRssMb: seen.samples.map(([minute, mb]) => [round(minute * 60, 1), round(mb, 1)] as const),
    },
  };
}
