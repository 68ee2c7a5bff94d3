/** The processes of `bench endpoint`, as `child.ts` starts them: a gateway, a worker, the simulator, the bare proxy. */
import { ConversationClient } from "#actors/conversation/client.ts";
import type { Config } from "#contracts/config.ts";
import { systemClock } from "#runtime/clock.ts";
import { createLog } from "#runtime/observe/log.ts";
import { connectTo, contextOf, provisionFor } from "../compose/open.ts";

interface DeployedTask {
  readonly kind: "gateway" | "endpoint-worker";
  /** Where the gateway listens; 0 for the worker. */
  readonly port: number;
  readonly natsUrl: string;
  readonly config: Config;
}
interface OutsideTask {
  readonly kind: "simulator" | "bare-proxy";
  readonly port: number;
  /** Where the bare proxy sends its requests. */
  readonly upstream: string;
  readonly replyBytes: number;
}
export type EndpointTask = DeployedTask | OutsideTask;

/** A single key must not be the limit that is measured. */
const REQUESTS_PER_SECOND = 1_000_000;

/** @returns what ends it */
export async function startEndpointPart(task: EndpointTask): Promise<() => Promise<void>> {
  switch (task.kind) {
    case "simulator": {
      const { startSimulator } = await import("#ops/simulator/server.ts");
      return (await startSimulator({ port: task.port, replyBytes: task.replyBytes })).stop;
    }
    case "bare-proxy": {
      const { startBareProxy } = await import("./bare-proxy.ts");
      return startBareProxy(task.port, task.upstream);
    }
    case "gateway":
    case "endpoint-worker":
      return startDeployed(task);
  }
}

async function startDeployed({ kind, natsUrl, config, port }: DeployedTask): Promise<() => Promise<void>> {
  const log = createLog({ level: "warn" });
  const bus = await connectTo(natsUrl, `bench-${kind}`, log);
  const deployment = await provisionFor(bus, config);
  const context = contextOf(bus, deployment, config, log);
  const role = kind === "gateway" ? await gateway() : await worker();
  return async () => {
    await role.stop();
    await bus.close();
  };

  async function worker() {
    const { startWorker } = await import("../compose/worker.ts");
    return startWorker(context);
  }

  async function gateway() {
    const [{ startGateway }, { createKnowledgeStore }, { ActorMailer }] = await Promise.all([
      import("../compose/gateway.ts"),
      import("#actors/knowledge/store.ts"),
      import("#runtime/actor/mailer.ts"),
    ]);
    return startGateway(context, {
      host: "127.0.0.1",
      port,
      conversations: new ConversationClient(bus, deployment, systemClock),
      knowledge: createKnowledgeStore(bus, systemClock),
      actors: new ActorMailer({ bus, deployment, clock: systemClock, kinds: [] }),
      readiness: () => ({ ready: true, reasons: [] }),
      settings: { requestsPerSecond: REQUESTS_PER_SECOND },
    });
  }
}
