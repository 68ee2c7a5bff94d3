// The OpenAI-compatible endpoint as it is deployed: a gateway and workers on a real NATS, in front of simulators.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import OpenAI from "openai";
import { ConversationClient } from "#actors/conversation/client.ts";
import type { GatewaySettings } from "#actors/gateway/settings.ts";
import { configSchema } from "#contracts/config.ts";
import { type RunningGateway, startGateway } from "#ops/compose/gateway.ts";
import { connectTo, contextOf, provisionFor } from "#ops/compose/open.ts";
import { startWorker } from "#ops/compose/worker.ts";
import { ActorMailer } from "#runtime/actor/mailer.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { capturedLog, MemoryKnowledge } from "./gateway.ts";
import { startTestNats } from "./nats.ts";

export interface EndpointWorld {
  readonly gateway: RunningGateway;
  readonly bus: Bus;
  readonly client: OpenAI;
  /** The official client with other options. */
  clientOf(options?: { maxRetries?: number; timeout?: number; headers?: Record<string, string> }): OpenAI;
  /** A worker on a connection of its own. */
  worker(): Promise<TestWorker>;
  /** A worker in a process of its own. */
  process(): Promise<WorkerProcess>;
  /** Raw, with the key `demo`. */
  post(
    body: unknown,
    options?: { headers?: Record<string, string>; signal?: AbortSignal },
  ): Promise<Response>;
  stop(): Promise<void>;
}

export interface TestWorker {
  stop(): Promise<void>;
}

/** A worker that can be killed. */
export interface WorkerProcess {
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
}

export async function endpointWorld(
  pools: Record<string, unknown>,
  settings: Partial<GatewaySettings> = {},
): Promise<EndpointWorld> {
  const nats = await startTestNats();
  const { log } = capturedLog();
  const config = configSchema.parse({ pools, shards: 1 });
  const bus = await connectTo(nats.url, "gateway", log);
  const deployment = await provisionFor(bus, config);
  const context = contextOf(bus, deployment, config, log);
  const gateway = await startGateway(context, {
    host: "127.0.0.1",
    port: 0,
    conversations: new ConversationClient(bus, deployment, context.clock),
    knowledge: new MemoryKnowledge(),
    actors: new ActorMailer({ bus, deployment, clock: context.clock, kinds: [] }),
    readiness: () => ({ ready: true, reasons: [] }),
    settings,
  });
  const workers = new Set<TestWorker>();
  const processes: ChildProcess[] = [];
  const clientOf: EndpointWorld["clientOf"] = ({ maxRetries = 0, timeout = 120_000, headers } = {}) =>
    new OpenAI({
      baseURL: `${gateway.url}/v1`,
      apiKey: "demo",
      maxRetries,
      timeout,
      ...(headers ? { defaultHeaders: headers } : {}),
    });
  return {
    gateway,
    bus,
    client: clientOf(),
    clientOf,
    async worker() {
      const own = await connectTo(nats.url, "worker", log);
      const role = await startWorker(contextOf(own, deployment, config, log));
      const worker: TestWorker = {
        async stop() {
          if (!workers.delete(worker)) return;
          await role.stop();
          await own.close();
        },
      };
      workers.add(worker);
      return worker;
    },
    async process() {
      const entry = fileURLToPath(new URL("./worker-process.ts", import.meta.url));
      const child = fork(entry, [nats.url, JSON.stringify({ pools, shards: 1 })]);
      await once(child, "message");
      processes.push(child);
      return {
        async kill() {
          child.kill("SIGKILL");
          await once(child, "exit");
        },
      };
    },
    post: (body, { headers, signal } = {}) =>
      fetch(`${gateway.url}/v1/chat/completions`, {
        method: "POST",
        headers: { authorization: "Bearer demo", "content-type": "application/json", ...headers },
        body: typeof body === "string" ? body : JSON.stringify(body),
        ...(signal ? { signal } : {}),
      }),
    async stop() {
      for (const child of processes) child.kill("SIGKILL");
      for (const worker of [...workers]) await worker.stop();
      await gateway.stop();
      await bus.close();
      await nats.stop();
    },
  };
}
