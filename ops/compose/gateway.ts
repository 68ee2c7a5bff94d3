/** The role `gateway`: keys, the operator's view, and the HTTP server in front of the deployment. */
import type { AddressInfo } from "node:net";
import { createCacheAdmin } from "#actors/cache/admin.ts";
import type { Conversations } from "#actors/conversation/port.ts";
import { createAdminSource } from "#actors/gateway/admin-source.ts";
import { createGateway } from "#actors/gateway/app.ts";
import { assertBindable, isLoopback } from "#actors/gateway/auth.ts";
import { KvKeyStore } from "#actors/gateway/keys.ts";
import { JobCompletions } from "#actors/gateway/openai/completions.ts";
import type { ActorMailer, Readiness } from "#actors/gateway/port.ts";
import type { GatewaySettings } from "#actors/gateway/settings.ts";
import { watchHealth } from "#actors/inference/health.ts";
import type { KnowledgeStore, Retriever } from "#actors/knowledge/port.ts";
import { PolicyRouter } from "#actors/routing/router.ts";
import { liveSignals } from "#actors/routing/signals.ts";
import { LIMITS } from "#contracts/limits.ts";
import { announce, Presence } from "#runtime/observe/presence.ts";
import { urlOf } from "../settings.ts";
import type { RoleContext, RunningRole } from "./context.ts";
import { deadLettersOf } from "./dead-letters.ts";
import { listenError } from "./listen.ts";
import { followLoad } from "./load.ts";
import { readPlacement } from "./placement-summary.ts";

export interface GatewayOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly conversations: Conversations;
  readonly knowledge: KnowledgeStore;
  /** Searches for whoever asks; without it the gateway has no such route. */
  readonly retriever?: Retriever | undefined;
  readonly actors: ActorMailer;
  /** Of the whole process. */
  readonly readiness: () => Readiness;
  /** The built chat page. */
  readonly staticDir?: string | undefined;
  readonly settings?: Partial<GatewaySettings>;
  /** How long a drain lets waits finish. */
  readonly graceMs?: number;
}

export interface RunningGateway extends RunningRole {
  readonly url: string;
}

/** Resolves when it listens. @throws JetclawError `start.refused`, `nats.unavailable` */
export async function startGateway(ctx: RoleContext, options: GatewayOptions): Promise<RunningGateway> {
  const { bus, clock, config, deployment, instance, log } = ctx;
  const { host, port, conversations, knowledge, retriever, actors, readiness, staticDir } = options;
  const keys = await KvKeyStore.open(bus, clock);
  const health = await watchHealth(bus);
  const presence = new Presence(bus);
  const load = followLoad(ctx);
  const { level } = load;
  // Without a pool nothing can be completed, and the routes do not exist.
  const completions =
    Object.keys(config.pools).length > 0
      ? new JobCompletions({
          bus,
          clock,
          log,
          config,
          instance,
          level,
          router: new PolicyRouter(config, liveSignals(level, health)),
        })
      : undefined;
  const release = (): void => {
    presence.stop();
    load.stop();
    health.stop();
    keys.close();
    completions?.close();
  };
  const app = createGateway({
    conversations,
    knowledge,
    retriever,
    actors,
    readiness,
    keys,
    level,
    load: load.admin,
    cache: createCacheAdmin(bus, clock),
    dead: deadLettersOf(bus, deployment),
    completions,
    clock,
    log,
    staticDir,
    corsOrigins: config.gateway?.corsOrigins,
    onReconnect: (listener) => bus.onReconnect(listener),
    demoKey: isLoopback(host),
    settings: {
      waitMs: (config.turnDeadlineMs ?? LIMITS.turnDeadlineMs) + CLOSING_MS,
      completionMs: config.turnDeadlineMs ?? LIMITS.turnDeadlineMs,
      ...(config.deferredDeadlineMs === undefined ? {} : { deferredMostMs: config.deferredDeadlineMs }),
      ...options.settings,
    },
    admin: createAdminSource({
      bus,
      clock,
      presence,
      shards: deployment.shards,
      pools: Object.keys(config.pools),
      placement: () => readPlacement(bus),
    }),
  });
  try {
    assertBindable(host, keys.hasKeys());
    await app.listen({ host, port, backlog: BACKLOG });
  } catch (error) {
    await app.close();
    release();
    throw listenError(error, host, port, { host: "JETCLAW_HOST", port: "JETCLAW_PORT" });
  }
  let draining = false;
  const beat = announce(
    bus,
    { role: "gateway", instance },
    () => ({ port: (app.server.address() as AddressInfo | null)?.port ?? port }),
    () => draining,
  );
  return {
    role: "gateway",
    url: urlOf(host, (app.server.address() as AddressInfo).port),
    readiness: () => (draining ? "draining" : undefined),
    async drain() {
      draining = true;
      beat.now();
      // Nobody new comes in, streams go elsewhere, waits finish.
      const closed = new Promise<void>((resolve) => app.server.close(() => resolve()));
      app.drainStreams();
      app.server.closeIdleConnections();
      await Promise.race([closed, clock.sleep(options.graceMs ?? LIMITS.drainMs)]);
      app.endWaits();
      await Promise.race([closed, clock.sleep(LEAVE_MS)]);
    },
    async stop() {
      beat.stop();
      app.drainStreams();
      app.server.closeAllConnections();
      await app.close();
      release();
    },
  };
}

/** Connections the kernel keeps for us while we are busy; with the default of 511 it dropped 840 of 10,000 that came at once. */
const BACKLOG = 4_096;
/** What it takes to tell who still waits. */
const LEAVE_MS = 500;
/** What the closing of a turn may take beyond its deadline. */
const CLOSING_MS = 5_000;
