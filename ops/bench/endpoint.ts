/**
 * `jetclaw bench endpoint`: stateless requests to the OpenAI-compatible endpoint, beside a bare proxy in the same run.
 * Client, gateway, worker, nats-server, simulator and proxy are processes of their own; rounds alternate.
 */
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { configSchema } from "#contracts/config.ts";
import { startNatsServer } from "#runtime/nats/server.ts";
import { type Child, cpuMsOfProcess, startChild } from "./children.ts";
import { type Cleanup, startCleanly } from "./cleanup.ts";
import { type Loaded, type Target, targetOf } from "./endpoint-load.ts";
import {
  type BenchResult,
  describeMachine,
  fsyncP50Ms,
  median,
  quantile,
  randomFrom,
  round,
  textOf,
} from "./shape.ts";

export interface EndpointOptions {
  readonly seed: number;
  readonly seconds: number;
  readonly inFlight: number;
  readonly rounds: number;
  readonly questionBytes: number;
  readonly replyBytes: number;
  readonly sync: "1s" | "always";
  readonly folder: string;
  readonly natsBin: string;
  readonly natsServer: string;
  readonly say: (line: string) => void;
}

const WARM_UP_SECONDS = 2;
const FIRST_TOKENS = 60;
const REFUSALS = 200;
/** Requests that the worker has under way: never the limit here. */
const CONCURRENCY = 1_024;

const PROCESSES = ["client", "gateway", "worker", "natsServer", "simulator", "bareProxy"] as const;
type Cpu = Readonly<Record<(typeof PROCESSES)[number], number>>;

interface Measured extends Loaded {
  readonly cpuMs: Cpu;
  readonly firstTokenMs: number;
}
interface Rounds {
  readonly ours: Measured[];
  readonly bare: Measured[];
  readonly directMs: number[];
  readonly refusalsMs: number[];
}
interface Running {
  readonly targets: { readonly ours: Target; readonly bare: Target; readonly direct: Target };
  cpu(): Promise<Cpu>;
  stop(): Promise<void>;
}

export async function benchEndpoint(options: EndpointOptions): Promise<BenchResult> {
  const fsync = fsyncP50Ms(options.folder);
  const running = await startCleanly((cleanup) => start(options, cleanup));
  const rounds: Rounds = { ours: [], bare: [], directMs: [], refusalsMs: [] };
  try {
    for (const side of ["ours", "bare"] as const)
      await running.targets[side].loop(options.inFlight, WARM_UP_SECONDS);
    for (let n = 0; n < options.rounds; n++) {
      // The order changes, so that a machine that slows down slows both.
      for (const side of n % 2 === 0 ? (["ours", "bare"] as const) : (["bare", "ours"] as const)) {
        const measured = await measure(options, running, side);
        rounds[side].push(measured);
        options.say(
          `round ${n + 1} of ${options.rounds}, ${side === "ours" ? "jetclaw" : "bare proxy"}: ${measured.rps} requests/s, p50 ${measured.p50Ms} ms, first token ${round(measured.firstTokenMs, 2)} ms`,
        );
      }
      rounds.directMs.push(await running.targets.direct.firstToken(FIRST_TOKENS));
      rounds.refusalsMs.push(...(await running.targets.ours.refusals(REFUSALS)));
    }
  } finally {
    await running.stop();
  }
  return resultOf(options, rounds, fsync);
}

async function measure(
  { inFlight, seconds, rounds }: EndpointOptions,
  running: Running,
  side: "ours" | "bare",
): Promise<Measured> {
  const target = running.targets[side];
  const before = await running.cpu();
  const loaded = await target.loop(inFlight, seconds / rounds);
  const after = await running.cpu();
  const each = PROCESSES.map((name) => [name, (after[name] - before[name]) / loaded.requests] as const);
  return {
    ...loaded,
    cpuMs: Object.fromEntries(each) as Cpu,
    firstTokenMs: await target.firstToken(FIRST_TOKENS),
  };
}

async function start(options: EndpointOptions, cleanup: Cleanup): Promise<Running> {
  const { natsBin: bin, folder: dataDir, sync: syncInterval, replyBytes, inFlight, seed } = options;
  const [simulatorPort, proxyPort, gatewayPort] = await freePorts();
  const upstream = `http://127.0.0.1:${simulatorPort}`;
  const config = configSchema.parse({
    pools: { default: { models: [{ name: "bench", baseUrl: `${upstream}/v1`, concurrency: CONCURRENCY }] } },
    shards: 1,
    tenantShare: CONCURRENCY,
  });
  const server = await startNatsServer({ bin, dataDir, port: 0, syncInterval, log: () => {} });
  cleanup.add(() => server.stop());
  const deployed = { natsUrl: server.url, config };
  const simulators = [{ port: simulatorPort, replyBytes }];
  const simulator = await startChild({ kind: "part", part: "simulators", simulators }, cleanup);
  const worker = await startChild(
    { kind: "part", part: "worker", slots: CONCURRENCY, modelMs: 0, worker: {}, ...deployed },
    cleanup,
  );
  const gateway = await startChild({ kind: "gateway", port: gatewayPort, ...deployed }, cleanup);
  const bareProxy = await startChild({ kind: "bare-proxy", port: proxyPort, upstream }, cleanup);
  const question = textOf(options.questionBytes, randomFrom(seed));
  const target = (port: number): Target => targetOf(`http://127.0.0.1:${port}`, inFlight, question);
  const targets = { ours: target(gatewayPort), bare: target(proxyPort), direct: target(simulatorPort) };
  cleanup.add(() => Promise.all(Object.values(targets).map((each) => each.close())));
  const cpuOf = async (child: Child): Promise<number> => (await child.usage()).cpuMs;
  return {
    targets,
    async cpu() {
      const { user, system } = process.cpuUsage();
      return {
        client: (user + system) / 1_000,
        gateway: await cpuOf(gateway),
        worker: await cpuOf(worker),
        natsServer: cpuMsOfProcess(server.pid) ?? 0,
        simulator: await cpuOf(simulator),
        bareProxy: await cpuOf(bareProxy),
      };
    },
    stop: () => cleanup.run(),
  };
}

async function freePorts(): Promise<[number, number, number]> {
  const held = await Promise.all(
    [0, 1, 2].map(async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      return server;
    }),
  );
  const ports = held.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports as [number, number, number];
}

function figuresOf(rounds: readonly Measured[]): Record<string, number> {
  const of = (read: (each: Measured) => number): number => round(median(rounds.map(read)));
  return {
    requestsPerSecond: of(({ rps }) => rps),
    p50Ms: of(({ p50Ms }) => p50Ms),
    p99Ms: of(({ p99Ms }) => p99Ms),
    firstTokenMs: of(({ firstTokenMs }) => firstTokenMs),
    ...Object.fromEntries(
      PROCESSES.map((name) => [
        `cpu${name[0]?.toUpperCase()}${name.slice(1)}MsPerRequest`,
        of(({ cpuMs }) => cpuMs[name]),
      ]),
    ),
    // Without client and simulator, which are not what is compared.
    cpuMsPerRequest: of(({ cpuMs }) => cpuMs.gateway + cpuMs.worker + cpuMs.natsServer + cpuMs.bareProxy),
  };
}

const unitOf = (name: string): string =>
  name.endsWith("PerSecond")
    ? "requests/s"
    : name.endsWith("MsPerRequest")
      ? "ms/request"
      : name.endsWith("Ms")
        ? "ms"
        : "ratio";

function resultOf(
  options: EndpointOptions,
  { ours, bare, directMs, refusalsMs }: Rounds,
  fsync: number,
): BenchResult {
  const { seed, seconds, rounds, inFlight, questionBytes, replyBytes, sync } = options;
  const own = figuresOf(ours);
  const base = figuresOf(bare);
  const direct = median(directMs);
  const figures = {
    ...own,
    ratioToBareProxy: round((own.requestsPerSecond ?? 0) / (base.requestsPerSecond || 1)),
    firstTokenOverDirectMs: round((own.firstTokenMs ?? 0) - direct),
    invalidP50Ms: round(quantile(refusalsMs, 0.5)),
    invalidP99Ms: round(quantile(refusalsMs, 0.99)),
  };
  const baselines = {
    ...Object.fromEntries(
      Object.entries(base).map(([name, value]) => [
        `bareProxy${name[0]?.toUpperCase()}${name.slice(1)}`,
        value,
      ]),
    ),
    directFirstTokenMs: round(direct),
  };
  return {
    bench: "endpoint",
    seed,
    machine: describeMachine(options.natsServer),
    config: {
      seconds,
      rounds,
      inFlight,
      questionBytes,
      replyBytes,
      stream: false,
      sync,
      fsyncP50Ms: fsync,
      traceSampling: 0,
      processes: { client: 1, gateway: 1, worker: 1, natsServer: 1, simulator: 1, bareProxy: 1 },
    },
    figures,
    units: Object.fromEntries(
      [...Object.keys(figures), ...Object.keys(baselines)].map((name) => [name, unitOf(name)]),
    ),
    baselines,
  };
}
