/**
 * The conversation actor: carries out what turn.ts decides. One burst in, one commit out; whatever it reads on the way
 * (cache, knowledge, route) it reads before the commit, whatever it causes leaves by the outbox after it.
 */
import { textOf } from "#contracts/content.ts";
import type { Envelope } from "#contracts/envelope.ts";
import type { JobResult } from "#contracts/job.ts";
import { inferSessionFilter, inferStream, TOKENS, tokensSubject } from "#contracts/subjects.ts";
import {
  CONVERSATION,
  conversationMessages,
  type FeedbackRecord,
  turnEvent,
  type UserMessage,
  userMessageSchema,
} from "#contracts/turn.ts";
import type { ActorKind, SystemActor } from "#runtime/actor/define.ts";
import { parseMessage } from "#runtime/actor/define.ts";
import { sessionHash } from "#runtime/observe/log.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import { type Answering, answerAfterWait, openAndAnswer } from "./answering.ts";
import type { ArchivedRecord } from "./archive.ts";
import { appendRecord, type Closing, closeWith, emitDone, recordOf, recordSubject } from "./closing.ts";
import { erase, tombstoneMs } from "./erasing.ts";
import { armIdle, idle } from "./idling.ts";
import { IdsIndex } from "./old-ids.ts";
import { lastTurns } from "./past-turns.ts";
import { phrase } from "./phrases.ts";
import { answeredLongAgo, repeat } from "./repeats.ts";
import { restore } from "./restoring.ts";
import {
  keepingTurns,
  STATE_VERSION,
  type StoredState,
  storeState,
  upgradeState,
  withPast,
} from "./stored.ts";
import { askForSummary, keepSummary } from "./summary.ts";
import {
  type Asked,
  boundHistory,
  type ConversationState,
  type Decision,
  type Event,
  emptyEnding,
  initialState,
  isAwaited,
  isWaiting,
  mayOpen,
  type Quiet,
  sayTurn,
  step,
} from "./turn.ts";

/** How long a stop waits for the worker's partial answer before the turn is closed without one. */
const STOP_GRACE_MS = 1_500;
const COLLECT_TIMER = "collect";
const SETTLE_TIMER = "settle";

const QUIET: Readonly<Record<string, Quiet>> = {
  whatsapp: { quietMs: 500, capMs: 5_000 },
  email: { quietMs: 60_000, capMs: 600_000 },
};
const NO_QUIET: Quiet = { quietMs: 0, capMs: 0 };

type ConversationActor = SystemActor<ConversationState>;

/** The kind `conversation` over its dependencies. */
export function conversationKind(answering: Answering): ActorKind {
  const { deployment } = answering;
  const index = new IdsIndex(answering.past);
  // A result counts only for the job that the open turn waits for, so the ring holds twice as many user messages.
  const remembers = (type: string): boolean => type !== "result";
  return {
    kind: CONVERSATION,
    version: STATE_VERSION,
    burst: true,
    persistent: true,
    remembers,
    initial: initialState,
    store: (state) => storeState(state as ConversationState),
    async recall(stored, { tenant, key }, kept) {
      const state = stored as StoredState;
      return withPast(state, await lastTurns(answering.past, tenant, key, state, kept));
    },
    keeping: keepingTurns(answering.turnsAgeMs ?? (() => undefined)),
    view: (state) => state,
    lifetimeMs: (state, now) => tombstoneMs(state as ConversationState, now),
    upgrade: upgradeState,
    parse: (type, body) => parseMessage(CONVERSATION, conversationMessages, type, body),
    async run(erased, burst) {
      const actor = erased as ConversationActor;
      const job = actor.state.open?.job?.id;
      for (const message of burst) {
        if (message.type === "user" && (await answeredLongAgo(actor, message, index))) continue;
        // A stop is for the question before it, also when both waited side by side.
        if (message.type === "stop") await openAll(actor, answering);
        // What others would still be served is removed before anybody is told that it is gone; again where this fails.
        if (message.type === "erase") await answering.cache?.forget(actor.tenant, actor.key);
        if (message.type === "restore") {
          actor.handling(message);
          await restore(
            actor,
            answering.past,
            (message.body as { records: ArchivedRecord["record"][] }).records,
          );
        }
        if (message.type === "idle") await idle(actor, answering.idleMs, index);
        receive(actor, message, answering);
        if (message.type === "landed" && isWaiting(actor.state, (message.body as { turn: number }).turn))
          await answerAfterWait(actor, answering);
      }
      await openAll(actor, answering);
      await index.count(actor, burst.filter(({ type }) => remembers(type)).length);
      // A restore of very many conversations asks no model about any of them.
      if (!burst.some(({ type }) => type === "restore")) askForSummary(actor, answering.summaryPool);
      armIdle(actor, answering.idleMs);
      if (job !== undefined && actor.state.open?.job?.id !== job)
        actor.afterCommit(() => {
          answering.lanes?.finished(job);
          answering.deferredLanes?.finished(job);
          // However the turn ended: nobody waits for an answer that will not come.
          answering.pending.settle(job, actor.key, undefined);
        });
    },
    repeated: (actor, message) => repeat(actor as ConversationActor, message),
    poisoned: (actor, message, reference) =>
      poisoned(actor as ConversationActor, message, reference, deployment.shards),
  };
}

async function openAll(actor: ConversationActor, answering: Answering): Promise<void> {
  while (mayOpen(actor.state, actor.now)) await openAndAnswer(actor, answering);
}

function receive(actor: ConversationActor, message: Envelope, answering: Answering): void {
  const { shards } = answering.deployment;
  actor.handling(message);
  switch (message.type) {
    case "user": {
      const body = message.body as UserMessage;
      const quiet = QUIET[body.channel] ?? NO_QUIET;
      return advance(actor, { type: "user", id: message.id, at: message.at, message: body, quiet }, shards);
    }
    case "collected":
      return advance(actor, { type: "collected" }, shards);
    case "stop":
      return advance(actor, { type: "stop" }, shards);
    case "landed":
    case "restore":
    case "idle":
      return;
    case "result":
      return result(actor, message.body as JobResult, answering);
    case "settle":
      return settle(actor, (message.body as { turn: number }).turn, shards);
    case "say":
      return say(actor, message, shards);
    case "feedback":
      return feedback(actor, message, shards);
    case "erase":
      return erase(actor, shards, answering.pools);
  }
}

function advance(actor: ConversationActor, event: Event, shards: number): void {
  const { state, decisions } = step(actor.state, event, actor.now);
  actor.state = state;
  for (const decision of decisions) carryOut(actor, decision, shards);
}

function carryOut(actor: ConversationActor, decision: Decision, shards: number): void {
  if (decision.do === "abandon") return closeWith(actor, shards, stopped(actor.state.locale));
  if (decision.do === "collect")
    return actor.schedule(COLLECT_TIMER, { at: decision.untilAt }, "collected", { turn: actor.state.turn });
  // A queued job vanishes; a running one is told by the control subject and sends what it has.
  actor.purge(inferStream(decision.job.pool), inferSessionFilter(decision.job.pool, actor.tenant, actor.key));
  actor.schedule(SETTLE_TIMER, { afterMs: STOP_GRACE_MS }, "settle", { turn: decision.turn });
}

function result(actor: ConversationActor, body: JobResult, answering: Answering): void {
  if (keepSummary(actor, body)) return;
  if (!isAwaited(actor.state, body)) {
    metrics.lateResults({});
    // Its worker streamed on after the erase, and sent the result last.
    if (actor.state.erasedAt !== undefined)
      actor.purge(TOKENS, tokensSubject(actor.tenant, actor.key, body.turn));
    return;
  }
  actor.cancel(SETTLE_TIMER);
  const failed = body.finish === "failed";
  const reference = failed ? referenceOf(body.job) : undefined;
  const locale = actor.state.open?.job?.locale;
  const complete = body.finish === "stop" || body.finish === "length";
  if (complete) {
    const { text: reply, citations, model } = body;
    actor.afterCommit(() => answering.pending.settle(body.job, actor.key, { reply, citations, model }));
  }
  if (reference)
    actor.afterCommit(() =>
      answering.log.warn(
        { reference, session: sessionHash(actor.key), turn: body.turn, ...body.error },
        "a turn failed, its user was given the reference",
      ),
    );
  closeWith(actor, answering.deployment.shards, {
    ending: {
      outcome: failed ? "failed" : body.finish === "stopped" ? "stopped" : "answered",
      reply: failed ? phrase("failed", locale, reference) : body.text,
      citations: failed ? [] : body.citations,
      model: body.model,
      cached: false,
      usage: body.usage,
    },
    attempt: body.attempt,
    lastChunk: body.chunks,
    ...(reference ? { reference } : {}),
    ...(body.error ? { error: body.error.code } : {}),
    ...(body.costUsd === undefined ? {} : { costUsd: body.costUsd }),
  });
}

function settle(actor: ConversationActor, turn: number, shards: number): void {
  const { open } = actor.state;
  if (open?.turn === turn) closeWith(actor, shards, stopped(open.job?.locale));
}

const stopped = (locale: string | undefined): Closing => ({
  ending: emptyEnding("stopped", phrase("stopped", locale)),
});

function say(actor: ConversationActor, message: Envelope, shards: number): void {
  const { text, channel } = message.body as { text: string; channel?: string };
  const { state, turn } = sayTurn(actor.state, text, actor.now);
  actor.state = state;
  const record = recordOf(actor, {
    turn,
    messages: [],
    channel: channel ?? state.channel,
    startedAt: message.at,
    assistant: state.assistant ?? "",
    closing: { ending: emptyEnding("said", text) },
  });
  appendRecord(actor, shards, record);
  emitDone(actor, record);
  actor.reply({ turn });
}

function feedback(actor: ConversationActor, message: Envelope, shards: number): void {
  const body = message.body as { turn: number; value: "up" | "down"; comment?: string };
  if (actor.state.createdAt === 0 || body.turn < 1 || body.turn > actor.state.turn)
    return actor.reply({ error: "session.not-found" });
  actor.append(
    recordSubject(actor, shards, actor.state.channel),
    () =>
      ({
        v: 1,
        type: "feedback",
        tenant: actor.tenant,
        session: actor.key,
        turn: body.turn,
        value: body.value,
        ...(body.comment ? { comment: body.comment } : {}),
        at: actor.now,
      }) satisfies FeedbackRecord,
  );
  actor.reply({ ok: true });
}

/** A message that cannot be processed: the user gets an apology with a reference, and the session goes on. */
function poisoned(actor: ConversationActor, message: Envelope, reference: string, shards: number): void {
  if (message.replyTo) actor.reply({ error: "actor.handler-failed", reference });
  apologise(actor, message, reference, shards);
  // What waits behind it was to be opened with it, and nobody else would.
  if (mayOpen(actor.state, actor.now))
    actor.schedule(COLLECT_TIMER, { at: actor.now }, "collected", { turn: actor.state.turn });
}

function apologise(actor: ConversationActor, message: Envelope, reference: string, shards: number): void {
  const { open, pending } = actor.state;
  const failed = (locale: string | undefined): Closing => ({
    ending: emptyEnding("failed", phrase("failed", locale, reference)),
    reference,
  });
  if (message.type === "result" && open?.job && jobOf(message, open.job.id) === open.job.id)
    return closeWith(actor, shards, failed(open.job.locale));
  if (message.type === "landed" && isWaiting(actor.state))
    return closeWith(actor, shards, failed(actor.state.locale));
  if (message.type === "collected" && !open && pending.length > 0) {
    const { collectUntil: _, ...rest } = actor.state;
    actor.state = { ...rest, pending: [] };
    return failTurn(actor, shards, pending, actor.state.channel, failed(actor.state.locale));
  }
  if (message.type !== "user") return;
  // What is no message of a user at all has no text that anybody could read again.
  const { data: said } = userMessageSchema.safeParse(message.body);
  const { channel, locale = actor.state.locale } = said ?? actor.state;
  const asked = { id: message.id, text: said ? textOf(said.parts) : "", at: message.at };
  failTurn(actor, shards, [asked], channel, failed(locale));
}

/** A turn that was never opened, closed by an apology. */
function failTurn(
  actor: ConversationActor,
  shards: number,
  messages: readonly Asked[],
  channel: string,
  closing: Closing,
): void {
  const { state, turn } = sayTurn(actor.state, closing.ending.reply, actor.now);
  const past = state.history[state.history.length - 1];
  actor.state = past
    ? {
        ...state,
        history: boundHistory([...state.history.slice(0, -1), { ...past, messages, outcome: "failed" }]),
      }
    : state;
  const record = recordOf(actor, {
    turn,
    messages,
    channel,
    startedAt: messages[0]?.at ?? actor.now,
    assistant: state.assistant ?? "",
    closing,
  });
  appendRecord(actor, shards, record);
  actor.emit(
    tokensSubject(actor.tenant, actor.key, turn),
    turnEvent(
      turn,
      messages.map(({ id }) => id),
    ),
  );
  emitDone(actor, record);
}

/** The job that a result names, whether it can be read or not; `unnamed` where it names none. */
function jobOf({ body, causation }: Envelope, unnamed: string): string {
  const { job } = (body ?? {}) as Partial<JobResult>;
  return typeof job === "string" ? job : (causation ?? unnamed);
}

/** A short name of a job that support can look up and a user can read out. */
function referenceOf(job: string): string {
  let hash = 0;
  for (let i = 0; i < job.length; i++) hash = (Math.imul(hash, 31) + job.charCodeAt(i)) >>> 0;
  return hash.toString(36).padStart(6, "0");
}
