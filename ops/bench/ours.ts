/** Ours as a side: hosts and workers as they run in production, the gateway left out. */
import { rm } from "node:fs/promises";
import { type Config, configSchema } from "#contracts/config.ts";
import { actorsBucket } from "#contracts/subjects.ts";
import { CONVERSATION } from "#contracts/turn.ts";
import { sendToActor } from "#runtime/nats/inbound.ts";
import { startNatsServer } from "#runtime/nats/server.ts";
import { createLog } from "#runtime/observe/log.ts";
import { connectTo, provisionFor } from "../compose/open.ts";
import { type Child, startChildren } from "./children.ts";
import { type Cleanup, startCleanly } from "./cleanup.ts";
import type { PartTask } from "./part.ts";
import { Sessions } from "./sessions.ts";
import { randomFrom, textOf } from "./shape.ts";
import type { Side, SideOptions } from "./side.ts";
import { cpuOf, watchTraffic } from "./watch.ts";

const TENANT = "bench";
const POOL = "default";
/** Jobs a worker holds at once: never the limit here. */
const SLOTS = 256;
/** Ids, times and names of a job beside its texts. */
const JOB_FIELDS_BYTES = 500;
/** Different questions, so that nothing can be answered from memory. */
const TEXTS = 64;

export const startOurs = (options: SideOptions): Promise<Side> =>
  startCleanly((cleanup) => start(options, cleanup));

async function start(options: SideOptions, cleanup: Cleanup): Promise<Side> {
  const { natsBin: bin, folder: dataDir, sync: syncInterval, payloads, seed } = options;
  cleanup.add(() => rm(dataDir, { recursive: true, force: true }));
  const server = await startNatsServer({ bin, dataDir, port: 0, syncInterval, log: () => {} });
  cleanup.add(server.stop);
  const simulator = options.model === "simulator" ? await startModel(payloads.replyBytes) : undefined;
  if (simulator) cleanup.add(simulator.stop);
  const config = configFor(options, simulator?.url);
  const bus = await connectTo(server.url, "bench-client", createLog({ level: "warn" }));
  cleanup.add(() => bus.close());
  await provisionFor(bus, config);
  const { chunks, chunkMs = 0, slots = SLOTS } = options;
  const worker = { slots, echo: { replyBytes: payloads.replyBytes, chunks, chunkMs } };
  const parts = (part: "host" | "worker", count: number): Promise<Child[]> => {
    const task: PartTask = { kind: "part", part, natsUrl: server.url, config, slots, modelMs: 0, worker };
    return startChildren(Array<PartTask>(count).fill(task), cleanup);
  };
  const hosts = await parts("host", options.hosts);
  const workers = await parts("worker", options.workers);

  const sessions = new Sessions(options.sessions, options.turnsPerSession, "s");
  const random = randomFrom(seed);
  const texts = Array.from({ length: TEXTS }, () => textOf(payloads.messageBytes, random));
  let asked = 0;
  bus.subscribe("turn.>", ({ subject }) => sessions.answered(subject.slice(subject.lastIndexOf(".") + 1)));
  await bus.flush();
  return {
    name: "jetclaw",
    turn: () =>
      sessions.run(({ session, turn }) =>
        sendToActor(bus, {
          id: `${session}-${turn}`,
          tenant: TENANT,
          kind: CONVERSATION,
          key: session,
          type: "user",
          body: { parts: [{ type: "text", text: texts[asked++ % TEXTS] }], channel: "web", locale: "en" },
          at: Date.now(),
        }),
      ),
    watch: (during) =>
      watchTraffic(
        bus,
        [
          ["message", "in.>"],
          ["job", "infer.>"],
          ["turn", "turn.>"],
          ["chunk", "tok.>"],
          ["timer", "sched.>"],
          ...Array.from(
            { length: options.shards },
            (_, shard) => ["state", `$KV.${actorsBucket(shard)}.>`] as const,
          ),
        ],
        during,
      ),
    cpu: () => cpuOf(hosts, workers, server.pid),
    hostRssMb: async () => (await Promise.all(hosts.map((child) => child.usage()))).map(({ rssMb }) => rssMb),
    stop: () => cleanup.run(),
  };
}

async function startModel(replyBytes: number): Promise<{ url: string; stop(): Promise<void> }> {
  const { startSimulator } = await import("#ops/simulator/server.ts");
  return startSimulator({ port: 0, replyBytes });
}

function configFor(
  { payloads, turnsPerSession, shards, seed, residency, slots = SLOTS }: SideOptions,
  simulatorUrl: string | undefined,
): Config {
  const { messageBytes, jobBytes, replyBytes } = payloads;
  // A job carries its question twice (for chat and for extracting models) and half of its session's history on average.
  const history = ((turnsPerSession - 1) / 2) * (messageBytes + replyBytes);
  const instructions = textOf(
    Math.max(0, jobBytes - 2 * messageBytes - history - JOB_FIELDS_BYTES),
    randomFrom(seed),
  );
  const model = simulatorUrl
    ? { name: "simulated", provider: "openai", baseUrl: `${simulatorUrl}/v1`, concurrency: slots }
    : { name: "echo", provider: "echo", concurrency: slots };
  return configSchema.parse({
    assistants: { bench: { instructions, knowledge: [] } },
    pools: { [POOL]: { models: [model] } },
    shards,
    responseCache: false,
    residency,
  });
}
