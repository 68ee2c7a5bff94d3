/** The child's side: one role of a deployment, the simulated models, or a pump with no model. */
import { Pump } from "#actors/inference/pump.ts";
import type { Config } from "#contracts/config.ts";
import { systemClock } from "#runtime/clock.ts";
import { consumePlainly } from "#runtime/nats/plain-consumer.ts";
import { makePlainStream } from "#runtime/nats/plain-stream.ts";
import { WorkQueue } from "#runtime/nats/work-queue.ts";
import { createLog } from "#runtime/observe/log.ts";
import type { RoleContext } from "../compose/context.ts";
import { connectTo, contextOf, provisionFor } from "../compose/open.ts";
import type { WorkerOptions } from "../compose/worker.ts";
import type { SimulatorOptions } from "../simulator/options.ts";

interface RolePart {
  readonly kind: "part";
  /** `alarm-host`: a host that knows the actor of the timers' benchmark as well. */
  readonly part: "host" | "alarm-host" | "worker" | "governor" | "pump" | "bare-consumer";
  readonly natsUrl: string;
  readonly config: Config;
  /** Jobs that a pump holds at once; a worker goes by the concurrency of its models. */
  readonly slots: number;
  /** Time that a job takes: of the echo model in a worker, of nothing at all in a pump. */
  readonly modelMs: number;
  /** How a worker is started where it is not by these two. */
  readonly worker?: WorkerOptions;
}
interface SimulatorPart {
  readonly kind: "part";
  readonly part: "simulators";
  readonly simulators: readonly Partial<SimulatorOptions>[];
}
export type PartTask = RolePart | SimulatorPart;

const READY_POLL_MS = 20;

/** @returns what ends it */
export async function startPart(task: PartTask): Promise<() => Promise<void>> {
  if (task.part === "simulators") {
    const { startSimulator } = await import("../simulator/server.ts");
    const running = await Promise.all(task.simulators.map((options) => startSimulator(options)));
    return async () => void (await Promise.all(running.map((each) => each.stop())));
  }
  const log = createLog({ level: "error", role: task.part });
  const bus = await connectTo(task.natsUrl, `bench-${task.part}`, log);
  const context = contextOf(bus, await provisionFor(bus, task.config), task.config, log);
  const role = await startRole(context, task);
  while (role.readiness() !== undefined) await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
  return async () => {
    await role.drain();
    await role.stop();
    await bus.close();
  };
}

interface Started {
  readiness(): string | undefined;
  drain(): Promise<void>;
  stop(): Promise<void>;
}

async function startRole(
  context: RoleContext,
  { part, slots, modelMs, natsUrl, worker }: RolePart,
): Promise<Started> {
  switch (part) {
    case "host": {
      const { startConversationHost } = await import("../compose/conversation.ts");
      return startConversationHost(context, {});
    }
    case "alarm-host": {
      const { startConversationHost } = await import("../compose/conversation.ts");
      const { alarm } = await import("./alarm.ts");
      return startConversationHost(context, { kinds: [alarm] });
    }
    case "worker": {
      const { startWorker } = await import("../compose/worker.ts");
      return startWorker(context, worker ?? { echo: { delayMs: modelMs, replyBytes: 200 } });
    }
    case "governor": {
      const { startGovernor } = await import("../compose/governor.ts");
      return startGovernor(context);
    }
    case "pump":
      return startPump(context, slots, modelMs);
    case "bare-consumer": {
      const { BARE_JOBS } = await import("./pump-bare.ts");
      await makePlainStream(context.bus, BARE_JOBS);
      const { name: stream, consumer } = BARE_JOBS;
      const stop = await consumePlainly(natsUrl, { stream, consumer, slots }, () =>
        systemClock.sleep(modelMs),
      );
      return { readiness: () => undefined, drain: stop, stop: async () => {} };
    }
  }
}

/** The pump as workers run it, with a job that only waits: what is left is the cost of taking and acknowledging. */
async function startPump(
  { bus, log, config }: RoleContext,
  slots: number,
  modelMs: number,
): Promise<Started> {
  const [pool = "default"] = Object.keys(config.pools);
  const queue = await WorkQueue.open(bus, pool);
  const pump = new Pump({
    queue,
    slots,
    log,
    async run(message) {
      await systemClock.sleep(modelMs);
      message.ack();
    },
  });
  return {
    readiness: () => undefined,
    drain: () => pump.drain(1_000),
    stop: async () => queue.close(),
  };
}
