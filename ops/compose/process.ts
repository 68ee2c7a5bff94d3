/** Roles composed into one process: started in stages, ready together, drained and stopped in reverse. */
import type { KnowledgeStore } from "#actors/knowledge/port.ts";
import type { Config } from "#contracts/config.ts";
import { JetclawError } from "#contracts/errors.ts";
import { Lifecycle, STAGE } from "#runtime/lifecycle.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { STORES_NOTHING } from "#runtime/nats/stalls.ts";
import type { Log } from "#runtime/observe/log.ts";
import { enableMetrics } from "#runtime/observe/metrics.ts";
import { startTelemetry, type Telemetry } from "../observe.ts";
import { type Settings, splitNatsUrl } from "../settings.ts";
import type { RoleContext, RunningRole } from "./context.ts";
import { listenForDrain } from "./drain.ts";
import { connectTo, contextOf, provisionFor } from "./open.ts";
import type { Probes } from "./probes.ts";
import { type Knowledge, ROLES, type Role, startKnowledge } from "./roles.ts";

export interface ProcessOptions {
  readonly roles: readonly Role[];
  readonly settings: Settings;
  readonly config: Config;
  readonly natsUrl: string;
  readonly log: Log;
  readonly say: (line: string) => void;
  /** How traces call this process. */
  readonly service?: string;
  readonly pools?: readonly string[];
  readonly slots?: number;
  readonly weight?: number;
  /** Where `/metrics`, `/healthz` and `/readyz` are answered besides a gateway; undefined: nowhere. */
  readonly metricsPort?: number | undefined;
  readonly staticDir?: string | undefined;
  /** Runs when conversations can be held and before anybody can ask; the process is ready only after it. */
  readonly prepare?: (context: RoleContext, store: KnowledgeStore) => Promise<void>;
  /** Resolves when NATS is gone for good: nothing can be drained then. */
  readonly natsEnded?: Promise<void>;
}

export interface RunningProcess {
  /** Where the gateway listens; undefined without one. */
  readonly url: string | undefined;
  /** Where figures and probes are answered, where that was asked for. */
  readonly metricsPort?: number | undefined;
  /** Why the process does not take work, a sentence each. */
  notReady(): string[];
  /** Resolves when an operator asks the process to drain. */
  readonly drainAsked: Promise<void>;
  /** Drains, then closes. */
  stop(): Promise<void>;
}

/** NATS may start at the same time as we do. */
const NATS_WAIT_MS = 15_000;
const NATS_RETRY_MS = 500;
/** How long a part may take to close when NATS is gone. */
const ABANDON_MS = 300;

/** @throws JetclawError `nats.unavailable`, `nats.refused`, `start.refused`; what had started is stopped again. */
export async function runProcess(options: ProcessOptions): Promise<RunningProcess> {
  const { roles, config, log, settings, metricsPort } = options;
  // A failed start is told by whoever called; the log would only repeat it.
  const startLog = log.child({});
  startLog.level = "silent";
  const lifecycle = new Lifecycle(startLog);
  const running = new Map<Role, RunningRole>();
  let prepared = options.prepare === undefined;
  let telemetry: Telemetry | undefined;
  let probes: Probes | undefined;
  let bus: Bus | undefined;
  let context: RoleContext | undefined;
  let knowledge: Knowledge | undefined;
  const present = <T>(part: T | undefined): T => {
    if (part === undefined) throw new Error("stages ran out of order");
    return part;
  };
  const notReady = (): string[] => [
    ...(lifecycle.state === "running" || lifecycle.state === "starting" ? [] : [lifecycle.state]),
    ...(bus && !bus.online ? ["NATS does not answer"] : []),
    ...(bus?.stalled ? [STORES_NOTHING] : []),
    ...roles.flatMap((role) => {
      const part = running.get(role);
      const reason = part ? part.readiness() : "starting";
      return reason === undefined ? [] : [`${role}: ${reason}`];
    }),
    ...(knowledge?.retrieval?.readiness() === undefined
      ? []
      : [`knowledge: ${knowledge.retrieval.readiness()}`]),
    ...(prepared ? [] : ["the demo knowledge is not searchable yet"]),
  ];

  lifecycle.add({
    name: "telemetry",
    stage: STAGE.telemetry,
    async start() {
      // Whoever serves the figures counts from the first moment.
      if (roles.includes("gateway") || metricsPort !== undefined) await enableMetrics();
      telemetry = await startTelemetry(options.service ?? `jetclaw-${roles.join("-")}`, log);
      if (metricsPort === undefined) return;
      const { serveProbes } = await import("./probes.ts");
      probes = await serveProbes(settings.host, metricsPort, notReady);
    },
    async stop() {
      await telemetry?.stop();
      await probes?.close();
    },
  });
  lifecycle.add({
    name: "nats",
    stage: STAGE.nats,
    async start() {
      bus = await connectPatiently(options);
    },
    stop: async () => bus?.close(),
  });
  lifecycle.add({
    name: "topology",
    stage: STAGE.topology,
    async start() {
      context = contextOf(present(bus), await provisionFor(present(bus), config), config, log);
    },
  });
  lifecycle.add({
    name: "knowledge",
    stage: STAGE.state,
    async start() {
      knowledge = await startKnowledge(present(context), roles);
    },
    stop: () => unlessEnded(options.natsEnded, ABANDON_MS, knowledge?.stop),
  });
  const { pools, slots, weight, staticDir } = options;
  for (const role of roles)
    lifecycle.add({
      name: role,
      stage: ROLES[role].stage,
      async start() {
        const { store, search, retrieval } = present(knowledge);
        const parts = { settings, store, search, retrieval, pools, slots, weight, staticDir, notReady };
        running.set(role, await ROLES[role].start(present(context), parts));
      },
      drain: () => unlessEnded(options.natsEnded, 0, running.get(role)?.drain),
      stop: () => unlessEnded(options.natsEnded, ABANDON_MS, running.get(role)?.stop),
    });
  if (options.prepare)
    lifecycle.add({
      name: "preparation",
      stage: STAGE.hosts + 1,
      async start() {
        await options.prepare?.(present(context), present(knowledge).store);
        prepared = true;
      },
    });
  await lifecycle.start();
  startLog.level = log.level;
  const gateway = running.get("gateway") as (RunningRole & { url?: string }) | undefined;
  const drain = listenForDrain(present(bus), present(context).instance, roles);
  return {
    url: gateway?.url,
    metricsPort: probes?.port,
    notReady,
    drainAsked: drain.asked,
    stop() {
      present(bus).endsTogether = options.natsEnded !== undefined;
      return lifecycle.stop();
    },
  };
}

/** Runs a step, but gives it up some time after NATS is gone. */
async function unlessEnded(
  ended: Promise<void> | undefined,
  graceMs: number,
  step: (() => Promise<void>) | undefined,
): Promise<void> {
  if (!step) return;
  if (!ended) return step();
  let timer: NodeJS.Timeout | undefined;
  const givenUp = ended.then(
    () =>
      new Promise<void>((resolve) => {
        timer = setTimeout(resolve, graceMs);
      }),
  );
  await Promise.race([step(), givenUp]);
  clearTimeout(timer);
}

async function connectPatiently({ natsUrl, roles, log, say }: ProcessOptions): Promise<Bus> {
  const until = Date.now() + NATS_WAIT_MS;
  for (let tries = 0; ; tries++) {
    try {
      return await connectTo(natsUrl, `jetclaw-${roles.join("-")}`, log);
    } catch (error) {
      // Nothing is started that would be lost by ending, and whoever starts it again waits as well.
      const refused = error instanceof JetclawError && error.retry === "never";
      if (refused || Date.now() > until) throw error;
      if (tries === 0) say(`Waiting for NATS at ${splitNatsUrl(natsUrl).servers.join(", ")} ...`);
      await new Promise((resolve) => setTimeout(resolve, NATS_RETRY_MS));
    }
  }
}
