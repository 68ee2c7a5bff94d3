/** Opening a turn: retrieve, look into the cache, route, and either answer at once or commit a self-contained job. */
import { JOB_VERSION, type Job, type Passage } from "#contracts/job.ts";
import { LIMITS } from "#contracts/limits.ts";
import { inferSubject, type PriorityClass, tokensSubject } from "#contracts/subjects.ts";
import { type RouteDecision, turnEvent } from "#contracts/turn.ts";
import type { SystemActor } from "#runtime/actor/define.ts";
import type { Deployment } from "#runtime/nats/topology.ts";
import type { Log } from "#runtime/observe/log.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import type { AnswerCache, CacheQuery, Flight } from "../cache/port.ts";
import type { LevelReader } from "../governor/port.ts";
import type { Retriever } from "../knowledge/port.ts";
import type { Router } from "../routing/port.ts";
import type { Assistant, Assistants } from "./assistants.ts";
import { cacheQueryOf, closingOf, lookUp, NOWHERE, type PendingAnswers, planCaching } from "./caching.ts";
import type { Checks } from "./checks.ts";
import { closeWith } from "./closing.ts";
import {
  type Extract as ExtractAnswer,
  extractClosing,
  isNew,
  refusal,
  treatmentOf,
  withLevel,
} from "./degradation.ts";
import type { Lanes } from "./lanes.ts";
import type { PastTurns } from "./past-turns.ts";
import { buildMessages } from "./prompt.ts";
import type { TurnsAge } from "./stored.ts";
import { afterSummary, type SummaryPool } from "./summary.ts";
import { awaitJob, awaitLanding, type ConversationState, openTurn } from "./turn.ts";

/** What a conversation needs of the rooms below it. */
export interface Answering {
  readonly deployment: Pick<Deployment, "shards">;
  readonly assistants: Assistants;
  readonly retriever: Retriever;
  /** Absent: nothing is cached. */
  readonly cache?: AnswerCache | undefined;
  readonly pending: PendingAnswers;
  /** Absent: nothing that is served is checked. */
  readonly checks?: Checks | undefined;
  /** Sends a message to the actor of a session. */
  readonly tell: (tenant: string, session: string, type: string, body: unknown) => Promise<unknown>;
  readonly router: Router;
  readonly log: Log;
  /** Where the turns of sessions lie. */
  readonly past: PastTurns;
  /** Absent: turns are kept for good. */
  readonly turnsAgeMs?: TurnsAge;
  /** Pools of the deployment. */
  readonly pools: readonly string[];
  /** How long nobody writes before a conversation is closed as idle. */
  readonly idleMs: number;
  readonly summaryPool: SummaryPool;
  /** ISO 639-1 code of a text's language, where it can be told. */
  readonly languageOf: (text: string) => string | undefined;
  readonly turnDeadlineMs: number;
  /** Of a turn that nobody waits for; as long as any other when left out. */
  readonly deferredDeadlineMs?: number | undefined;
  /** Absent: nothing is degraded. */
  readonly level?: LevelReader | undefined;
  /** Answers new conversations at level 2; absent: they keep going to the pools. */
  readonly extract?: ExtractAnswer | undefined;
  /** Tiers of all pools: at level 2 a cached answer of any of them will do. */
  readonly tiers?: readonly string[] | undefined;
  /** Absent: every job takes lane 0. */
  readonly lanes?: Lanes | undefined;
  /** Of jobs that nobody waits for: they live longer, and a thousand of them are no reason to let people wait. */
  readonly deferredLanes?: Lanes | undefined;
}

type ConversationActor = SystemActor<ConversationState>;
export const DEFAULT_LOCALE = "en";
const LANDED_TIMER = "landed";
const DEFERRED_CHANNELS = new Set(["email"]);

/** Opens the next turn with all that waits, and answers it or says what it waits for. */
export async function openAndAnswer(actor: ConversationActor, answering: Answering): Promise<void> {
  const opened = openTurn(actor.state);
  const { name } = answering.assistants.get(opened.assistant);
  actor.state = { ...opened, assistant: name };
  if (opened.assistant !== undefined && opened.assistant !== name)
    noteMissing(actor, answering, opened.assistant, name);
  const { turn, messages } = opened.open;
  const ids = messages.map((m) => m.id);
  actor.emit(tokensSubject(actor.tenant, actor.key, turn), turnEvent(turn, ids));
  await answer(actor, answering, { mayWait: true });
}

/** Answered all the same, by the first: but not in silence. */
function noteMissing(actor: ConversationActor, answering: Answering, asked: string, by: string): void {
  actor.afterCommit(() => {
    metrics.missingAssistants();
    if (answering.assistants.isNews(asked))
      answering.log.warn(
        { asked: asked.slice(0, 64), by },
        "no assistant has the name that a message asks for, the first one answers",
      );
  });
}

/** The turn has waited for somebody else's answer to the same question: it is there, or the turn asks itself. */
export async function answerAfterWait(actor: ConversationActor, answering: Answering): Promise<void> {
  actor.cancel(LANDED_TIMER);
  await answer(actor, answering, { mayWait: false });
}

async function answer(
  actor: ConversationActor,
  answering: Answering,
  { mayWait }: { readonly mayWait: boolean },
): Promise<void> {
  const { assistants, router, cache } = answering;
  const { shards } = answering.deployment;
  const { state } = actor;
  const { open } = state;
  if (!open) throw new Error("no turn is open");
  const assistant = assistants.get(state.assistant);
  const question = open.messages
    .map((m) => m.text)
    .filter(Boolean)
    .join("\n");
  const locale = state.locale ?? answering.languageOf(question) ?? DEFAULT_LOCALE;
  const cls = classOf(state, open.channel);
  const level = answering.level?.level() ?? 0;
  const treatment = treatmentOf(level, cls, state);
  // Who has waited is not refused for it.
  if (treatment === "refuse" && mayWait) {
    actor.afterCommit(() => metrics.refusals({ reason: "load.refused" }));
    return closeWith(actor, shards, refusal(level, locale));
  }
  // Before retrieval: what changes after it may be missing from the passages.
  const position = cache?.position() ?? NOWHERE;
  const passages = await retrieve(actor, answering, assistant, question, locale);
  const chosen = router.route({
    tenant: actor.tenant,
    assistant: assistant.name,
    policy: assistant.model,
    question,
    locale,
    channel: open.channel,
    cls,
    tier: state.tier,
    model: state.history.findLast((turn) => turn.model !== "" && !turn.cached)?.model,
  });
  const route = withLevel(chosen, level);
  const query = cacheQueryOf(actor.tenant, assistant, {
    tier: route.tier,
    locale,
    question,
    passages,
    position,
  });
  const plan = planCaching(cache, assistant, state, query);
  const { maxOutputTokens, temperature } = assistant;
  const content = {
    turn: open.turn,
    question,
    locale,
    passages: [...passages],
    maxOutputTokens: maxOutputTokens ?? null,
    temperature: temperature ?? null,
  };
  const found = await lookUp(cache, plan, treatment, answering.tiers);
  if (found) {
    const { hit, asked } = found;
    // A check teaches what the question alone is answered with, like all that is kept.
    if (hit.check && asked.tier === route.tier)
      appendCheck(actor, answering, route, asked, {
        ...content,
        messages: buildMessages({ assistant, locale, passages, history: [], question }),
      });
    // Without a tier the next turn, at a lower level, is routed like a first one.
    if (treatment === "normal") actor.state = { ...state, tier: state.tier ?? route.tier };
    return closeWith(actor, shards, { ...closingOf(hit), ...(level > 0 ? { route } : {}) });
  }
  if (treatment !== "normal" && answering.extract)
    return closeWith(actor, shards, extractClosing(level, answering.extract, question, passages, locale));
  const flight = mayWait ? await plan.join?.(cls, `${actor.key} ${open.turn}`) : undefined;
  if (flight?.kind === "wait") return waitForLanding(actor, answering, flight);
  const messages = buildMessages({
    assistant,
    locale,
    passages,
    summary: state.summary?.text,
    history: afterSummary(state),
    question,
  });
  const job = appendJob(actor, answering, { route, uncached: plan.uncached }, { ...content, cls, messages });
  const { keep } = plan;
  if (keep) actor.afterCommit(() => answering.pending.remember(job.id, keep, job.deadline - actor.now));
}

/**
 * The turn is committed as waiting, and its mailbox goes on: a stop, an erase or a takeover finds a turn that waits, as
 * with a job. The timer ends the wait whatever becomes of this host and of who is waited for.
 */
function waitForLanding(
  actor: ConversationActor,
  { tell, turnDeadlineMs }: Answering,
  { landed, untilAt }: Extract<Flight, { kind: "wait" }>,
): void {
  const { state, now } = actor;
  const turn = state.turn;
  actor.state = awaitLanding(state, now);
  actor.schedule(LANDED_TIMER, { at: Math.min(untilAt, now + turnDeadlineMs / 4) }, "landed", { turn });
  actor.afterCommit(() => {
    // Should this be lost, the timer comes.
    void landed.then(() => tell(actor.tenant, actor.key, "landed", { turn })).catch(() => {});
  });
}

type JobContent = Pick<
  Job,
  "turn" | "cls" | "messages" | "question" | "locale" | "passages" | "maxOutputTokens" | "temperature"
>;

/** A job of the actor's turn, in the words of the room below. */
const jobOf = (
  { tenant, key: session, now, trace }: ConversationActor,
  { pool, model }: RouteDecision,
  content: JobContent,
): Omit<Job, "id" | "lane" | "deadline" | "stream"> => ({
  ...content,
  v: JOB_VERSION,
  tenant,
  session,
  step: 0,
  pool,
  model: model ?? null,
  at: now,
  trace: trace ?? null,
});

/** The open turn waits for a job, in the lane that its tenant's backlog gives. */
function appendJob(
  actor: ConversationActor,
  answering: Answering,
  { route, uncached }: { readonly route: RouteDecision; readonly uncached: string | undefined },
  content: JobContent,
): Pick<Job, "id" | "deadline"> {
  const { tenant, key: session, now } = actor;
  const { pool } = route;
  const { cls, locale } = content;
  const deferred = cls === "deferred";
  const lanes = deferred ? answering.deferredLanes : answering.lanes;
  const patienceMs = (deferred ? answering.deferredDeadlineMs : undefined) ?? answering.turnDeadlineMs;
  // What was spent on waiting is part of the turn's time.
  const deadline = (actor.state.open?.waitingSince ?? now) + patienceMs;
  const lane = lanes?.laneOf(tenant, now) ?? 0;
  const job = { ...jobOf(actor, route, content), lane, deadline, stream: true };
  const id = actor.append(inferSubject({ pool, cls, lane, tenant, session }), (id): Job => ({ ...job, id }));
  lanes?.reserve(id, tenant, now);
  actor.afterCommit(() => lanes?.committed(id, deadline));
  actor.state = awaitJob(actor.state, {
    id,
    step: 0,
    pool,
    cls,
    deadline,
    route,
    locale,
    ...(uncached ? { uncached } : {}),
  });
  return { id, deadline };
}

/** Nobody waits for it: behind everything else, and its answer goes to the cache alone. */
function appendCheck(
  actor: ConversationActor,
  { checks }: Answering,
  route: RouteDecision,
  query: CacheQuery,
  content: Omit<JobContent, "cls">,
): void {
  if (!checks) return;
  const { tenant, key: session, now } = actor;
  const [cls, lane] = ["deferred", 1] as const;
  const job = {
    ...jobOf(actor, route, { ...content, cls }),
    lane,
    deadline: now + checks.deadlineMs,
    stream: false,
    replyTo: checks.expect(query, session),
  };
  actor.append(inferSubject({ pool: route.pool, cls, lane, tenant, session }), (id): Job => ({ ...job, id }));
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
