/** Opening a turn: retrieve, look into the cache, route, and either answer at once or commit a self-contained job. */
import { JOB_VERSION, type Job, type Passage } from "#contracts/job.ts";
import { LIMITS } from "#contracts/limits.ts";
import { inferSubject, type PriorityClass, tokensSubject } from "#contracts/subjects.ts";
import { type RouteDecision, type TurnRecord, turnEvent } from "#contracts/turn.ts";
import { NO_USAGE } from "#contracts/usage.ts";
import type { SystemActor } from "#runtime/actor/define.ts";
import type { Deployment } from "#runtime/nats/topology.ts";
import type { Log } from "#runtime/observe/log.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import type { CachedAnswer, CacheQuery, ResponseCache } from "../cache/port.ts";
import type { LevelReader } from "../governor/port.ts";
import type { Retriever } from "../knowledge/port.ts";
import type { Router } from "../routing/port.ts";
import type { Assistant, Assistants } from "./assistants.ts";
import { type Closing, closeWith } from "./closing.ts";
import {
  type Extract,
  extractClosing,
  isNew,
  refusal,
  type Treatment,
  treatmentOf,
  withLevel,
} from "./degradation.ts";
import type { Lanes } from "./lanes.ts";
import { buildMessages, historyFingerprint } from "./prompt.ts";
import { awaitJob, type ConversationState, openTurn, type PastTurn } from "./turn.ts";

/** What a conversation needs of the rooms below it. */
export interface Answering {
  readonly deployment: Pick<Deployment, "shards">;
  readonly assistants: Assistants;
  readonly retriever: Retriever;
  /** Absent: nothing is cached. */
  readonly cache?: ResponseCache | undefined;
  readonly pending: PendingQueries;
  readonly router: Router;
  readonly log: Log;
  /** Closed turns of a session from a sequence of its stream on. */
  readonly turnsFrom: (
    tenant: string,
    session: string,
    from: number,
  ) => Promise<readonly { readonly turn: PastTurn; readonly seq: number }[]>;
  /** The turn that a message got long ago; absent: repeats older than the remembered ids are new messages. */
  readonly turnOf?:
    | ((tenant: string, session: string, message: string) => Promise<TurnRecord | undefined>)
    | undefined;
  /** ISO 639-1 code of a text's language, where it can be told. */
  readonly languageOf: (text: string) => string | undefined;
  readonly turnDeadlineMs: number;
  /** Absent: nothing is degraded. */
  readonly level?: LevelReader | undefined;
  /** Answers new conversations at level 2; absent: they keep going to the pools. */
  readonly extract?: Extract | undefined;
  /** Tiers of all pools: at level 2 a cached answer of any of them will do. */
  readonly tiers?: readonly string[] | undefined;
  /** Absent: every job takes lane 0. */
  readonly lanes?: Lanes | undefined;
}

type ConversationActor = SystemActor<ConversationState>;
const DEFAULT_LOCALE = "en";
const DEFERRED_CHANNELS = new Set(["email"]);

export async function openAndAnswer(actor: ConversationActor, answering: Answering): Promise<void> {
  const { assistants, router } = answering;
  const { shards } = answering.deployment;
  const opened = openTurn(actor.state);
  const { open } = opened;
  const assistant = assistants.get(opened.assistant);
  actor.state = { ...opened, assistant: assistant.name };
  const question = open.messages
    .map((m) => m.text)
    .filter(Boolean)
    .join("\n");
  const locale = opened.locale ?? answering.languageOf(question) ?? DEFAULT_LOCALE;
  const cls = classOf(opened, open.channel);
  const level = answering.level?.level() ?? 0;
  const treatment = treatmentOf(level, cls, opened);
  actor.emit(
    tokensSubject(actor.tenant, actor.key, open.turn),
    turnEvent(
      open.turn,
      open.messages.map((m) => m.id),
    ),
  );

  if (treatment === "refuse") {
    actor.afterCommit(() => metrics.refusals({ reason: "load.refused" }));
    return closeWith(actor, shards, refusal(level, locale));
  }
  const passages = await retrieve(actor, answering, assistant, question, locale);
  const chosen = router.route({
    tenant: actor.tenant,
    assistant: assistant.name,
    policy: assistant.model,
    question,
    locale,
    channel: open.channel,
    cls,
    tier: opened.tier,
    model: opened.history.findLast((turn) => turn.model !== "" && !turn.cached)?.model,
  });
  const route = withLevel(chosen, level);
  const query: CacheQuery = {
    tenant: actor.tenant,
    assistant: assistant.name,
    assistantVersion: assistant.version,
    tier: route.tier,
    locale,
    question,
    // Hashing the history is dear, and only a cache reads it.
    history: answering.cache ? historyFingerprint(opened.history) : "",
    passages,
  };
  const cached = await lookUp(answering, query, treatment);
  if (cached) {
    // Without a tier the next turn, at a lower level, is routed like a first one.
    if (treatment === "normal") actor.state = { ...actor.state, tier: actor.state.tier ?? route.tier };
    return closeWith(actor, shards, { ...ofCache(cached), ...(level > 0 ? { route } : {}) });
  }
  if (treatment === "extract" && answering.extract)
    return closeWith(actor, shards, extractClosing(level, answering.extract, question, passages, locale));
  const messages = buildMessages({ assistant, locale, passages, history: opened.history, question });
  const { maxOutputTokens, temperature } = assistant;
  const id = appendJob(actor, answering, route, {
    turn: open.turn,
    cls,
    messages,
    question,
    locale,
    passages: [...passages],
    maxOutputTokens: maxOutputTokens ?? null,
    temperature: temperature ?? null,
  });
  if (answering.cache) actor.afterCommit(() => answering.pending.remember(id, query, actor.now));
}

type JobContent = Pick<
  Job,
  "turn" | "cls" | "messages" | "question" | "locale" | "passages" | "maxOutputTokens" | "temperature"
>;

/** The open turn waits for a job, in the lane that its tenant's backlog gives. */
function appendJob(
  actor: ConversationActor,
  { lanes, turnDeadlineMs }: Answering,
  route: RouteDecision,
  content: JobContent,
): string {
  const { tenant, key: session, now } = actor;
  const { pool } = route;
  const { cls, locale } = content;
  const deadline = now + turnDeadlineMs;
  const lane = lanes?.laneOf(tenant, now) ?? 0;
  const id = actor.append(
    inferSubject({ pool, cls, lane, tenant, session }),
    (id): Job => ({
      ...content,
      v: JOB_VERSION,
      id,
      tenant,
      session,
      step: 0,
      pool,
      model: route.model ?? null,
      lane,
      at: now,
      deadline,
      stream: true,
      trace: actor.trace ?? null,
    }),
  );
  lanes?.reserve(id, tenant, now);
  actor.afterCommit(() => lanes?.committed(id, deadline));
  actor.state = awaitJob(actor.state, { id, step: 0, pool, cls, deadline, route, locale });
  return id;
}

const ofCache = ({ reply, citations, model }: CachedAnswer): Closing => ({
  ending: { outcome: "answered", reply, citations, model, cached: true, usage: NO_USAGE },
  attempt: 0,
  lastChunk: 0,
  cacheLevel: "response",
});

/** Under load an answer of any tier is better than none of a model. */
async function lookUp(
  { cache, tiers = [] }: Answering,
  query: CacheQuery,
  treatment: Treatment,
): ReturnType<ResponseCache["lookup"]> {
  if (!cache) return undefined;
  const others = treatment === "extract" ? tiers.filter((tier) => tier !== query.tier) : [];
  for (const tier of [query.tier, ...others]) {
    const found = await cache.lookup({ ...query, tier });
    if (found) return found;
  }
  return undefined;
}

/** Without its knowledge a turn is still answered, and the model is told of no passages. */
async function retrieve(
  actor: ConversationActor,
  answering: Answering,
  assistant: Assistant,
  question: string,
  locale: string,
): Promise<readonly Passage[]> {
  if (assistant.knowledge.length === 0 || question === "") return [];
  try {
    return await answering.retriever.retrieve({
      tenant: actor.tenant,
      collections: assistant.knowledge,
      question,
      locale,
      limit: LIMITS.passages,
    });
  } catch (err) {
    answering.log.warn({ err }, "retrieval failed, answering without passages");
    return [];
  }
}

/** No model has answered yet, ongoing, or a channel on which nobody waits. */
function classOf(state: ConversationState, channel: string): PriorityClass {
  if (DEFERRED_CHANNELS.has(channel)) return "deferred";
  return isNew(state) ? "new" : "ongoing";
}

/**
 * Queries whose answers are on their way, by job. In memory: an answer that comes back to another host is not cached,
 * which costs a hit and never a wrong one.
 */
export class PendingQueries {
  readonly #byJob = new Map<string, { query: CacheQuery; at: number }>();

  remember(job: string, query: CacheQuery, now: number): void {
    this.#byJob.set(job, { query, at: now });
    for (const [id, { at }] of this.#byJob) {
      if (now - at <= LIMITS.dedupeWindowMs) break;
      this.#byJob.delete(id);
    }
  }

  /** The query whose answer a job brings, once. */
  take(job: string): CacheQuery | undefined {
    const found = this.#byJob.get(job);
    this.#byJob.delete(job);
    return found?.query;
  }
}
