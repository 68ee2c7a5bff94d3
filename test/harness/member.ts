// The entry of a member process: the product's own role, composed by the product's own code, plus the steps at which
// the harness may end, freeze or hold it. Everything it is told comes over IPC.
import { flushCompileCache } from "node:module";
import { ConversationClient } from "#actors/conversation/client.ts";
import { createKnowledgeStore } from "#actors/knowledge/store.ts";
import { configSchema } from "#contracts/config.ts";
import { JetclawError } from "#contracts/errors.ts";
import type { RoleContext, RunningRole } from "#ops/compose/context.ts";
import { startConversationHost } from "#ops/compose/conversation.ts";
import { startGateway } from "#ops/compose/gateway.ts";
import { startIndexerRole } from "#ops/compose/indexer.ts";
import { startInvalidatorRole } from "#ops/compose/invalidator.ts";
import { connectTo, contextOf, provisionFor } from "#ops/compose/open.ts";
import { startWorker } from "#ops/compose/worker.ts";
import { ActorMailer } from "#runtime/actor/mailer.ts";
import { STORES_NOTHING } from "#runtime/nats/stalls.ts";
import { installKillPoints, type KillPoint } from "#runtime/observe/kill-point.ts";
import { createLog } from "#runtime/observe/log.ts";
import type { Arm, MemberConfig, Order, Report } from "./orders.ts";
import { tally } from "./tally.ts";
import { waitUntil } from "./wait.ts";

let armed: Arm | undefined;
let passed = 0;
let resume: () => void = () => {};

installKillPoints((name) => (armed?.point === name ? reach(armed) : undefined));

function reach({ point, nth, action }: Arm): Promise<void> | undefined {
  if (++passed < nth) return undefined;
  armed = undefined;
  switch (action) {
    case "die":
      // The signal is delivered before the call returns: nothing that comes after this step happens.
      process.kill(process.pid, "SIGKILL");
      return undefined;
    case "freeze":
      return tell({ is: "at", point }).then(() => void process.kill(process.pid, "SIGSTOP"));
    case "wait":
      return hold(point);
  }
}

async function hold(point: KillPoint): Promise<void> {
  const held = new Promise<void>((resolve) => {
    resume = resolve;
  });
  await tell({ is: "at", point });
  await held;
}

function tell(report: Report): Promise<void> {
  return new Promise((resolve) => {
    if (process.send) process.send(report, () => resolve());
    else resolve();
  });
}

async function join(config: MemberConfig): Promise<void> {
  arm(config.arm);
  const log = createLog({ role: config.role, level: process.env.JETCLAW_LOG_LEVEL ?? "info" });
  const bus = await connectTo(config.url, config.instance, log);
  bus.staysIsolated = config.unsafe?.stayIsolated ?? false;
  const assistants = { default: { instructions: "Answer briefly." } };
  const { pools, shards, replicas, residency, embeddings } = config;
  const parsed = configSchema.parse({
    assistants,
    pools,
    shards,
    replicas,
    residency,
    ...(embeddings ? { embeddings } : {}),
  });
  const deployment = await provisionFor(bus, parsed);
  const context: RoleContext = { ...contextOf(bus, deployment, parsed, log), instance: config.instance };
  const role = await start(context, config);
  process.once("SIGTERM", () => {
    void (async () => {
      await role.drain();
      await role.stop();
      await bus.close();
      process.exit(0);
    })();
  });
  await waitUntil(() => role.readiness() === undefined, {
    timeoutMs: 150_000,
    what: "the role to take work",
  });
  await tell({ is: "ready" });
  let told: string | undefined;
  setInterval(() => {
    const unready = role.readiness() ?? (bus.stalled ? STORES_NOTHING : undefined);
    if (unready !== told) void tell({ is: "readiness", unready });
    told = unready;
  }, READINESS_MS).unref();
}

const READINESS_MS = 250;

/** As whatever supervises a process does: a start that finds no NATS is made again. */
async function joinInTime(config: MemberConfig): Promise<void> {
  for (const until = Date.now() + START_MS; ; ) {
    try {
      return await join(config);
    } catch (error) {
      if (!(error instanceof JetclawError) || error.code !== "nats.unavailable" || Date.now() > until)
        throw error;
    }
  }
}
const START_MS = 120_000;

/** Long enough to be streamed in pieces and short enough for a small machine. */
const ECHO = { replyBytes: 400, chunks: 6, delayMs: 5 };

function start(context: RoleContext, config: MemberConfig): Promise<RunningRole> {
  const { role, pools, unsafe, frozenView, build, port = 0 } = config;
  const { bus, deployment, clock } = context;
  const kinds = build ? [tally(build)] : [];
  switch (role) {
    case "worker":
      return startWorker(context, { pools: Object.keys(pools), echo: ECHO });
    case "invalidator":
      return startInvalidatorRole(context);
    case "indexer":
      return startIndexerRole(context);
    case "gateway":
      return startGateway(context, {
        host: "127.0.0.1",
        port,
        conversations: new ConversationClient(bus, deployment, clock),
        knowledge: createKnowledgeStore(bus, clock),
        actors: new ActorMailer({ bus, deployment, clock, kinds }),
        readiness: () => ({ ready: true, reasons: [] }),
      });
    case "conversation":
      return startConversationHost(context, {
        kinds,
        ...(unsafe ? { unsafe } : {}),
        ...(frozenView ? { frozenView } : {}),
      });
  }
}

function arm(next: Arm | undefined): void {
  armed = next;
  passed = 0;
}

// The harness is gone: whatever it wanted to see, nobody looks any more.
process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));
process.on("message", (order: Order) => {
  switch (order.do) {
    case "start":
      joinInTime(order.config).catch((error: unknown) => {
        const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
        void tell({ is: "failed", error: text }).then(() => process.exit(1));
      });
      break;
    case "arm":
      arm(order.arm);
      break;
    case "resume":
      resume();
      break;
  }
});
// What is compiled is written down for the next one: who is killed does not come to it.
flushCompileCache();
await tell({ is: "loaded" });
