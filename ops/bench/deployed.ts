/** A deployment for the benchmarks of load: nats-server, simulated models, hosts, workers, governor, each a process. */
import { rm } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { type Config, type ConfigInput, configSchema } from "#contracts/config.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { startNatsServer } from "#runtime/nats/server.ts";
import type { Deployment } from "#runtime/nats/topology.ts";
import { createLog } from "#runtime/observe/log.ts";
import { connectTo, provisionFor } from "../compose/open.ts";
import type { SimulatorOptions } from "../simulator/options.ts";
import { type Child, cpuMsOfProcess, startChildren } from "./children.ts";
import { type Cleanup, startCleanly } from "./cleanup.ts";
import type { PartTask } from "./part.ts";
import { fsyncP50Ms } from "./shape.ts";

export interface DeployedOptions {
  readonly natsBin: string;
  readonly folder: string;
  readonly hosts: number;
  readonly workers: number;
  readonly governors?: number;
  /** What runs as a host. */
  readonly hostPart?: "host" | "alarm-host";
  /** What runs as a worker: the role, the pump alone, or what the pump is compared with. */
  readonly workerPart?: "worker" | "pump" | "bare-consumer";
  readonly slots: number;
  /** Of the echo model and of the bare pump. */
  readonly modelMs?: number;
  readonly simulators?: readonly Partial<SimulatorOptions>[];
  /** Made when the addresses of the simulators are known, in their order. */
  readonly config: (simulators: readonly string[]) => ConfigInput;
}

export interface Deployed {
  readonly bus: Bus;
  readonly deployment: Deployment;
  readonly config: Config;
  readonly natsPid: number;
  readonly hosts: readonly Child[];
  readonly workers: readonly Child[];
  /** One more host; resolves when it takes work. */
  startHost(): Promise<Child>;
  /** CPU time of all processes so far, the client's and the simulated models' too. */
  cpuMs(): Promise<number>;
  stop(): Promise<void>;
}

/** One assistant without knowledge, one pool that echoes at once, and nothing answered from memory. */
export const echoConfig = (slots: number, more: Partial<ConfigInput> = {}): ConfigInput => ({
  assistants: { bench: { instructions: "Answer briefly.", knowledge: [] } },
  pools: { default: { models: [{ name: "echo", provider: "echo", concurrency: slots }] } },
  responseCache: false,
  ...more,
});

/** What every benchmark of load is told by the command line. */
export interface LoadBench {
  readonly seed: number;
  readonly seconds: number;
  readonly folder: string;
  readonly natsBin: string;
  readonly natsServer: string;
  readonly say: (line: string) => void;
}

/** Starts a deployment in a folder of the benchmark's, measures, and leaves nothing of it. */
export async function onDeployment<T>(
  { natsBin, folder }: Pick<LoadBench, "natsBin" | "folder">,
  name: string,
  options: Omit<DeployedOptions, "natsBin" | "folder">,
  measure: (deployed: Deployed, fsyncP50Ms: number) => Promise<T>,
): Promise<T> {
  const fsync = fsyncP50Ms(folder);
  const deployed = await startDeployed({ ...options, natsBin, folder: join(folder, name) });
  try {
    return await measure(deployed, fsync);
  } finally {
    await deployed.stop();
  }
}

/** So many processes start at once; more only wait for each other on a small machine. */
const STARTED_TOGETHER = 4;

export const startDeployed = (options: DeployedOptions): Promise<Deployed> =>
  startCleanly((cleanup) => start(options, cleanup));

async function start(options: DeployedOptions, cleanup: Cleanup): Promise<Deployed> {
  const { natsBin: bin, folder: dataDir, slots, modelMs = 0, governors = 0 } = options;
  cleanup.add(() => rm(dataDir, { recursive: true, force: true }));
  const server = await startNatsServer({ bin, dataDir, port: 0, syncInterval: "1s", log: () => {} });
  cleanup.add(() => server.stop());
  const { simulators: simulated = [] } = options;
  const ports = await freePorts(simulated.length);
  const simulators = simulated.map((each, n) => ({ ...each, port: ports[n] ?? 0 }));
  const config = configSchema.parse(options.config(ports.map((port) => `http://127.0.0.1:${port}/v1`)));
  const all: Child[] = [];
  if (simulators.length > 0)
    all.push(...(await startChildren([{ kind: "part", part: "simulators", simulators }], cleanup)));
  const bus = await connectTo(server.url, "bench-client", createLog({ level: "error" }));
  cleanup.add(() => bus.close());
  const deployment = await provisionFor(bus, config);
  const parts = async (part: Exclude<PartTask["part"], "simulators">, count: number): Promise<Child[]> => {
    const task: PartTask = { kind: "part", part, natsUrl: server.url, config, slots, modelMs };
    const children: Child[] = [];
    while (children.length < count) {
      const more = Math.min(STARTED_TOGETHER, count - children.length);
      children.push(...(await startChildren(Array<PartTask>(more).fill(task), cleanup)));
    }
    all.push(...children);
    return children;
  };
  await parts("governor", governors);
  const hostPart = options.hostPart ?? "host";
  const hosts = await parts(hostPart, options.hosts);
  const workers = await parts(options.workerPart ?? "worker", options.workers);
  return {
    bus,
    deployment,
    config,
    natsPid: server.pid,
    hosts,
    workers,
    startHost: async () => (await parts(hostPart, 1))[0] as Child,
    async cpuMs() {
      const { user, system } = process.cpuUsage();
      const used = await Promise.all(all.map((child) => child.usage()));
      const own = (user + system) / 1_000 + (cpuMsOfProcess(server.pid) ?? 0);
      return used.reduce((sum, { cpuMs }) => sum + cpuMs, own);
    },
    stop: () => cleanup.run(),
  };
}

/** Ports that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const held = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      return server;
    }),
  );
  const ports = held.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
