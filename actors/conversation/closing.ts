/** Closing a turn: the record in TURNS, the `done` event, the state. All of it by the outbox of one commit. */
import { shardOf } from "#contracts/ids.ts";
import { attemptsUpTo } from "#contracts/job.ts";
import { routeOf, tokensSubject, turnSubject } from "#contracts/subjects.ts";
import {
  answerOf,
  RECORD_VERSION,
  type RouteDecision,
  type StreamEvent,
  type TurnRecord,
} from "#contracts/turn.ts";
import type { SystemActor } from "#runtime/actor/define.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import { placeTurn } from "./stored.ts";
import { type Asked, type ConversationState, closeTurn, type Ending } from "./turn.ts";

export interface Closing {
  readonly ending: Ending;
  /** Attempt that gave the answer, and the number of its last chunk; absent where no worker did. */
  readonly attempt?: number;
  readonly lastChunk?: number;
  readonly cacheLevel?: string;
  readonly reference?: string;
  readonly error?: string;
  readonly costUsd?: number;
  /** Of a turn that is closed without a job; else the job's own is recorded. */
  readonly route?: RouteDecision;
}

type ConversationActor = SystemActor<ConversationState>;

export function recordSubject(actor: ConversationActor, shards: number, channel: string): string {
  return turnSubject(shardOf(routeOf(actor).partition, shards), channel, actor.tenant, actor.key);
}

interface RecordInput {
  readonly turn: number;
  readonly messages: readonly Asked[];
  readonly channel: string;
  readonly startedAt: number;
  readonly assistant: string;
  readonly closing: Closing;
}

export function recordOf(actor: ConversationActor, input: RecordInput): Omit<TurnRecord, "id"> {
  const { closing } = input;
  const { ending } = closing;
  const route = closing.route ?? actor.state.open?.job?.route;
  const uncached = actor.state.open?.job?.uncached;
  return {
    v: RECORD_VERSION,
    type: "turn",
    tenant: actor.tenant,
    session: actor.key,
    turn: input.turn,
    channel: input.channel,
    assistant: input.assistant,
    messages: [...input.messages],
    outcome: ending.outcome,
    reply: ending.reply,
    citations: [...ending.citations],
    model: ending.model,
    cached: ending.cached,
    ...(closing.cacheLevel ? { cacheLevel: closing.cacheLevel } : {}),
    ...(uncached ? { uncached } : {}),
    usage: ending.usage,
    ...(closing.costUsd === undefined ? {} : { costUsd: closing.costUsd }),
    ...(route ? { route } : {}),
    attempts: attemptsUpTo(closing.attempt ?? 0),
    ...(closing.reference ? { reference: closing.reference } : {}),
    ...(closing.error ? { error: closing.error } : {}),
    startedAt: input.startedAt,
    at: actor.now,
  };
}

/** Closes the open turn: one record, one `done`, the next state. */
export function closeWith(actor: ConversationActor, shards: number, closing: Closing): void {
  const { open } = actor.state;
  if (!open) throw new Error("no turn is open");
  const record = recordOf(actor, {
    turn: open.turn,
    messages: open.messages,
    channel: open.channel,
    startedAt: open.startedAt,
    assistant: actor.state.assistant ?? "",
    closing,
  });
  actor.state = closeTurn(actor.state, closing.ending, actor.now);
  appendRecord(actor, shards, record);
  emitDone(actor, record, closing);
  const { outcome } = closing.ending;
  const startedAt = open.startedAt;
  actor.afterCommit(() => {
    metrics.turns({ outcome, cache: closing.cacheLevel ?? "none" });
    metrics.turnMs(Date.now() - startedAt, { outcome });
  });
}

/** The end of a turn for whoever follows it, behind the last chunk of the attempt that gave the answer. */
export function emitDone(
  actor: ConversationActor,
  record: Omit<TurnRecord, "id">,
  { attempt = 0, lastChunk = 0 }: Pick<Closing, "attempt" | "lastChunk"> = {},
): void {
  actor.emit(tokensSubject(actor.tenant, actor.key, record.turn), {
    type: "done",
    turn: record.turn,
    attempt,
    number: lastChunk + 1,
    text: record.reply,
    answer: answerOf(record),
  } satisfies StreamEvent);
}

/** The record of the newest closed turn, which the state holds only until the record has its place in TURNS. */
export function appendRecord(actor: ConversationActor, shards: number, record: Omit<TurnRecord, "id">): void {
  const past = actor.state.history.at(-1);
  actor.append(
    recordSubject(actor, shards, record.channel),
    (id) => ({ ...record, id }),
    (seq) => past && placeTurn(past, seq),
  );
}
