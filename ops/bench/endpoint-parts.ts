/** Processes of `bench endpoint` alone: a gateway and the bare proxy. */
import { ConversationClient } from "#actors/conversation/client.ts";
import type { Config } from "#contracts/config.ts";
import { systemClock } from "#runtime/clock.ts";
import { createLog } from "#runtime/observe/log.ts";
import { connectTo, contextOf, provisionFor } from "../compose/open.ts";

interface GatewayTask {
  readonly kind: "gateway";
  readonly port: number;
  readonly natsUrl: string;
  readonly config: Config;
}
interface ProxyTask {
  readonly kind: "bare-proxy";
  readonly port: number;
  /** Where it sends its requests. */
  readonly upstream: string;
}
export type EndpointTask = GatewayTask | ProxyTask;

/** A single key must not be the limit that is measured. */
const REQUESTS_PER_SECOND = 1_000_000;

/** @returns what ends it */
export async function startEndpointPart(task: EndpointTask): Promise<() => Promise<void>> {
  if (task.kind === "gateway") return startGatewayPart(task);
  const { startBareProxy } = await import("./bare-proxy.ts");
  return startBareProxy(task.port, task.upstream);
}

async function startGatewayPart({ natsUrl, config, port }: GatewayTask): Promise<() => Promise<void>> {
  const log = createLog({ level: "warn" });
  const bus = await connectTo(natsUrl, "bench-gateway", log);
  const deployment = await provisionFor(bus, config);
  const [{ startGateway }, { createKnowledgeStore }, { ActorMailer }] = await Promise.all([
    import("../compose/gateway.ts"),
    import("#actors/knowledge/store.ts"),
    import("#runtime/actor/mailer.ts"),
  ]);
  const role = await startGateway(contextOf(bus, deployment, config, log), {
    host: "127.0.0.1",
    port,
    conversations: new ConversationClient(bus, deployment, systemClock),
    knowledge: createKnowledgeStore(bus, systemClock),
    actors: new ActorMailer({ bus, deployment, clock: systemClock, kinds: [] }),
    readiness: () => ({ ready: true, reasons: [] }),
    settings: { requestsPerSecond: REQUESTS_PER_SECOND },
  });
  return async () => {
    await role.stop();
    await bus.close();
  };
}
