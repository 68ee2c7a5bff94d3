/** Role `conversation`: a host of actors, the conversation kind and the user's own, and the reaper. */
import { serveExplanations } from "#actors/cache/admin.ts";
import type { AnswerCache } from "#actors/cache/port.ts";
import { conversationKind } from "#actors/conversation/actor.ts";
import type { Answering } from "#actors/conversation/answering.ts";
import type { ArchiveStore } from "#actors/conversation/archive-store.ts";
import { Assistants } from "#actors/conversation/assistants.ts";
import { PendingAnswers } from "#actors/conversation/caching.ts";
import { Checks } from "#actors/conversation/checks.ts";
import { explainCaching } from "#actors/conversation/explaining.ts";
import { Keeper } from "#actors/conversation/keeper.ts";
import { Lanes, shareOf } from "#actors/conversation/lanes.ts";
import { Reaper } from "#actors/conversation/reaper.ts";
import type { TurnsAge } from "#actors/conversation/stored.ts";
import type { SummaryPool } from "#actors/conversation/summary.ts";
import { watchLevel } from "#actors/governor/watch.ts";
import { watchHealth } from "#actors/inference/health.ts";
import { extract } from "#actors/inference/models/kb-extract.ts";
import type { Retriever } from "#actors/knowledge/port.ts";
import { PolicyRouter } from "#actors/routing/router.ts";
import { liveSignals } from "#actors/routing/signals.ts";
import type { Config } from "#contracts/config.ts";
import { DAY_MS, LIMITS } from "#contracts/limits.ts";
import { CONVERSATION } from "#contracts/turn.ts";
import { tellActor } from "#runtime/actor/client.ts";
import type { ActorKind } from "#runtime/actor/define.ts";
import { ActorHost, type Unsafe } from "#runtime/actor/host.ts";
import { ensureTokens } from "#runtime/nats/topology.ts";
import { announce } from "#runtime/observe/presence.ts";
import { Placement } from "#runtime/placement/placement.ts";
import type { RoleContext, RunningRole } from "./context.ts";

export interface ConversationHostOptions {
  /** Absent: assistants answer without knowledge. */
  readonly retriever?: Retriever | undefined;
  /** Absent: nothing is cached. */
  readonly cache?: AnswerCache | undefined;
  readonly languageOf?: (text: string) => string | undefined;
  /** Where turns are exported to before their retention ends. */
  readonly archive?: ArchiveStore | undefined;
  /** Kinds defined by the user. */
  readonly kinds?: readonly ActorKind[];
  /** Share of the partitions relative to other hosts. */
  readonly weight?: number | undefined;
  /** How long an actor is idle before it rests; as the runtime has it when left out. */
  readonly restMs?: number | undefined;
  /** For control runs of fault tests. */
  readonly unsafe?: Unsafe;
  readonly frozenView?: boolean;
}

/** Answers without passages. */
const NO_KNOWLEDGE: Retriever = { retrieve: async () => [] };

const tiersOf = ({ pools }: Config): string[] => [
  ...new Set(Object.entries(pools).map(([name, { tier }]) => tier ?? name)),
];

/** Only a language model can summarise, and only the conversation's own tier does: nobody pays for a dearer one. */
function summaryPoolOf({ pools, summaries }: Config): SummaryPool {
  const able = Object.entries(pools).filter(([, { models }]) =>
    models.every(({ provider }) => provider === "openai"),
  );
  return (tier) => (summaries ? able.find(([name, pool]) => (pool.tier ?? name) === tier)?.[0] : undefined);
}

/** The keeper purges turns that are older, and what is kept of them elsewhere may not outlive them. */
function turnsAgeOf({ retention }: Config): TurnsAge {
  return (tenant) => {
    const days = retention?.tenants?.[tenant]?.days ?? retention?.days;
    return days === undefined ? undefined : days * DAY_MS;
  };
}

/**
 * This host's part of a configured share of a tenant. Hosts are counted by the document: beats would count who only
 * comes or goes.
 */
function shareReader(tenantShare: number, placement: () => Placement): () => number {
  let known = { revision: -1, share: tenantShare };
  return () => {
    const { document } = placement();
    if (document.revision !== known.revision) {
      const hosts = new Set(document.partitions.flatMap(({ owner }) => owner ?? []));
      known = { revision: document.revision, share: shareOf(tenantShare, hosts.size) };
    }
    return known.share;
  };
}

/** Starts a host; resolves when it takes part in placement and holds its first partitions, or has none to hold. */
export async function startConversationHost(
  ctx: RoleContext,
  options: ConversationHostOptions = {},
): Promise<RunningRole> {
  const { bus, log, clock, deployment, config, instance } = ctx;
  const level = watchLevel(bus);
  const health = await watchHealth(bus);
  const cache = config.responseCache ? options.cache : undefined;
  const checks = cache && new Checks(bus, { cache, clock, instance, deadlineMs: config.deferredDeadlineMs });
  const { tenantShare } = config;
  const share = tenantShare === undefined ? undefined : shareReader(tenantShare, () => placement);
  const answering: Answering = {
    deployment,
    assistants: new Assistants(config),
    retriever: options.retriever ?? NO_KNOWLEDGE,
    cache,
    pending: new PendingAnswers(cache),
    checks,
    tell: (tenant, session, type, body) =>
      tellActor(bus, clock, { kind: CONVERSATION, tenant, key: session }, type, body),
    router: new PolicyRouter(config, liveSignals(level, health)),
    level,
    extract,
    tiers: tiersOf(config),
    lanes: new Lanes(share),
    deferredLanes: new Lanes(share),
    log,
    past: { bus, deployment },
    turnsAgeMs: turnsAgeOf(config),
    pools: Object.keys(config.pools),
    summaryPool: summaryPoolOf(config),
    idleMs: config.idleMinutes === undefined ? LIMITS.idleCloseMs : config.idleMinutes * 60_000,
    languageOf: options.languageOf ?? (() => undefined),
    turnDeadlineMs: config.turnDeadlineMs ?? LIMITS.turnDeadlineMs,
    deferredDeadlineMs: config.deferredDeadlineMs,
  };
  const conversation = conversationKind(answering);
  const explaining = cache && serveExplanations(bus, (asked) => explainCaching(answering, asked));
  const host = new ActorHost({
    bus,
    log,
    clock,
    deployment,
    instance,
    kinds: [conversation, ...(options.kinds ?? [])],
    residency: config.residency,
    restMs: options.restMs,
    ...(options.unsafe ? { unsafe: options.unsafe } : {}),
  });
  const placement = new Placement({
    host,
    instance,
    ...(options.weight === undefined ? {} : { weight: options.weight }),
    ...(options.frozenView ? { frozenView: true } : {}),
  });
  const pools = Object.keys(config.pools);
  const offlinePools = pools.filter((pool) =>
    config.pools[pool]?.models.some(({ batch }) => batch?.mode === "offline"),
  );
  const reaper = new Reaper({ bus, clock, log, instance, pools, offlinePools });
  const { retention } = config;
  const keeper =
    retention &&
    new Keeper({ bus, clock, log, instance, shards: deployment.shards, retention, archive: options.archive });
  let draining = false;
  // The stream of tokens lives in memory: a restarted server has none.
  const reconnected = bus.onReconnect(
    () => void ensureTokens(bus).catch((err) => log.warn({ err }, "TOKENS not made again")),
  );
  await placement.start();
  await placement.ready;
  reaper.start();
  keeper?.start();
  const presence = announce(
    bus,
    { role: "conversation", instance },
    () => ({
      partitions: host.partitions.length,
      weight: options.weight ?? 1,
      resident: host.resident,
      held: host.held,
    }),
    () => draining,
  );
  return {
    role: "conversation",
    readiness: () =>
      draining
        ? "draining"
        : host.partitions.length === 0 && !placement.standsBy
          ? "no partitions yet"
          : undefined,
    async drain() {
      draining = true;
      presence.now();
      await Promise.all([reaper.stop(), keeper?.stop()]);
      await placement.drain();
    },
    async stop() {
      presence.stop();
      reconnected.stop();
      placement.stop();
      level.stop();
      checks?.stop();
      explaining?.stop();
      health.stop();
      host.close();
      // Last: without NATS they wait, and what comes after them might not be reached.
      await Promise.all([reaper.stop(), keeper?.stop()]);
    },
  };
}
