/** Opening a turn: retrieve, look into the cache, route, and either answer at once or commit a self-contained job. */
import { JOB_VERSION, type Job, type Passage } from "#contracts/job.ts";
import { LIMITS } from "#contracts/limits.ts";
import { inferSubject, type PriorityClass, tokensSubject } from "#contracts/subjects.ts";
import { turnEvent } from "#contracts/turn.ts";
import { NO_USAGE } from "#contracts/usage.ts";
import type { SystemActor } from "#runtime/actor/define.ts";
import type { Deployment } from "#runtime/nats/topology.ts";
import type { Log } from "#runtime/observe/log.ts";
import type { CacheQuery, ResponseCache } from "../cache/port.ts";
import type { Retriever } from "../knowledge/port.ts";
import type { Router } from "../routing/port.ts";
import type { Assistant, Assistants } from "./assistants.ts";
import { closeWith } from "./closing.ts";
import { buildMessages, historyFingerprint } from "./prompt.ts";
import { awaitJob, type ConversationState, openTurn } from "./turn.ts";

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
  /** ISO 639-1 code of a text's language, where it can be told. */
  readonly languageOf: (text: string) => string | undefined;
  readonly turnDeadlineMs: number;
}

type ConversationActor = SystemActor<ConversationState>;
const DEFAULT_LOCALE = "en";
const DEFERRED_CHANNELS = new Set(["email"]);

export async function openAndAnswer(actor: ConversationActor, answering: Answering): Promise<void> {
  const { assistants, router } = answering;
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
  actor.emit(
    tokensSubject(actor.tenant, actor.key, open.turn),
    turnEvent(
      open.turn,
      open.messages.map((m) => m.id),
    ),
  );

  const passages = await retrieve(actor, answering, assistant, question, locale);
  const route = router.route({
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
  const cached = await answering.cache?.lookup(query);
  if (cached) {
    actor.state = { ...actor.state, tier: actor.state.tier ?? route.tier };
    return closeWith(actor, answering.deployment.shards, {
      ending: {
        outcome: "answered",
        reply: cached.reply,
        citations: cached.citations,
        model: cached.model,
        cached: true,
        usage: NO_USAGE,
      },
      attempt: 0,
      lastChunk: 0,
      cacheLevel: "response",
    });
  }
  const deadline = actor.now + answering.turnDeadlineMs;
  const messages = buildMessages({ assistant, locale, passages, history: opened.history, question });
  const job = (id: string): Job => ({
    v: JOB_VERSION,
    id,
    tenant: actor.tenant,
    session: actor.key,
    turn: open.turn,
    step: 0,
    pool: route.pool,
    model: route.model ?? null,
    cls,
    lane: 0,
    at: actor.now,
    deadline,
    messages,
    question,
    locale,
    passages: [...passages],
    maxOutputTokens: assistant.maxOutputTokens ?? null,
    temperature: assistant.temperature ?? null,
    stream: true,
    trace: actor.trace ?? null,
  });
  const id = actor.append(
    inferSubject({ pool: route.pool, cls, lane: 0, tenant: actor.tenant, session: actor.key }),
    job,
  );
  actor.state = awaitJob(actor.state, { id, step: 0, pool: route.pool, cls, deadline, route, locale });
  if (answering.cache) actor.afterCommit(() => answering.pending.remember(id, query, actor.now));
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

/** First turn, ongoing, or a channel on which nobody waits. */
function classOf(state: ConversationState, channel: string): PriorityClass {
  if (DEFERRED_CHANNELS.has(channel)) return "deferred";
  return state.history.length === 0 ? "new" : "ongoing";
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
