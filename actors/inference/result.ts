/** What leaves the room: the result of a job to whoever asked, or a job that nobody can read to DEADLETTER. */
import type { ReplyEvent } from "#contracts/chat.ts";
import { encode } from "#contracts/codec.ts";
import type { TraceContext } from "#contracts/envelope.ts";
import { asJetclawError } from "#contracts/errors.ts";
import type { Job, JobResult } from "#contracts/job.ts";
import { inferStream } from "#contracts/subjects.ts";
import { CONVERSATION, resultMessage } from "#contracts/turn.ts";
import type { Usage } from "#contracts/usage.ts";
import { deadBytes } from "#runtime/actor/dead-letter.ts";
import type { Clock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { sendToActor } from "#runtime/nats/inbound.ts";
import type { Pulled } from "#runtime/nats/pull.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import type { Outcome } from "./attempt.ts";

/** A failure's text is for an operator; a result carries no novels. */
const DETAIL_CHARS = 300;
const RETRY_FIRST_MS = 100;
const RETRY_MOST_MS = 2_000;
/** An answer was paid for: even past the deadline its result is offered a few times. */
const TRIES_AT_LEAST = 3;

export interface Send {
  readonly bus: Bus;
  readonly clock: Clock;
  /** Aborted when the worker must give the job back. */
  readonly signal: AbortSignal;
}

/**
 * Resolves when the result can no longer be lost. A job without an actor has its result said once to the gateway that
 * waits; the ack that follows on the same connection cannot overtake it. Repeats while the store is not available and the job's deadline lets it.
 * @throws JetclawError `nats.unavailable`, `nats.too-large`; the signal's reason
 */
export async function sendResult(
  { bus, clock, signal }: Send,
  job: Job,
  result: JobResult,
  trace: TraceContext | undefined,
): Promise<void> {
  if (job.replyTo) {
    const event: ReplyEvent = { type: "result", result };
    bus.publish(job.replyTo, encode(event));
    return;
  }
  for (let tries = 1; ; tries++) {
    try {
      const message = resultMessage(job, result, clock.now());
      await sendToActor(bus, { ...message, deadline: job.deadline, ...(trace ? { trace } : {}) });
      return;
    } catch (thrown) {
      const error = asJetclawError(thrown);
      if (error.code !== "nats.unavailable") throw error;
      if (tries >= TRIES_AT_LEAST && clock.now() > job.deadline) throw error;
      await clock.sleep(Math.min(RETRY_MOST_MS, RETRY_FIRST_MS * 2 ** tries), signal);
    }
  }
}

/**
 * Keeps a job that cannot be decoded or that ends its workers, whole, for an operator, under the session's own subject,
 * so that erasing a session finds it. Resolves when it is stored.
 */
export async function bury(
  { bus, clock }: Pick<Send, "bus" | "clock">,
  pool: string,
  message: Pulled,
  reason: string,
): Promise<void> {
  const { subject, data } = message;
  await deadBytes(bus, { stream: inferStream(pool), subject, data }, reason, clock.now(), CONVERSATION);
}

/** What an attempt came to, for whoever waits for the job. */
export function resultOf(
  worker: string,
  job: Job,
  outcome: Outcome,
  timings: { queuedMs: number; totalMs: number },
  chunks: number,
): JobResult {
  const { served, usage, costUsd, error } = outcome;
  return {
    job: job.id,
    turn: job.turn,
    step: job.step,
    attempt: outcome.attempt,
    finish: outcome.finish === "handed-back" ? "failed" : outcome.finish,
    text: outcome.text,
    citations: [...outcome.citations],
    ...(outcome.toolCalls?.length ? { toolCalls: [...outcome.toolCalls] } : {}),
    ...(outcome.refusal ? { refusal: outcome.refusal } : {}),
    model: served?.model.name ?? job.model ?? "",
    chunks,
    usage,
    ...(costUsd === undefined ? {} : { costUsd }),
    ...(error ? { error: errorOf(error) } : {}),
    timings: { ...timings, firstTokenMs: outcome.firstTokenMs },
    worker,
  };
}

function errorOf({
  code,
  detail,
  retryAfterSeconds,
  upstreamStatus,
}: NonNullable<Outcome["error"]>): NonNullable<JobResult["error"]> {
  return {
    code,
    detail: detail.slice(0, DETAIL_CHARS),
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    ...(upstreamStatus === undefined ? {} : { upstreamStatus }),
  };
}

export function count(pool: string, job: Job, result: JobResult): void {
  metrics.jobs({ pool, class: job.cls, result: result.finish });
  countUsage(pool, result.usage, result.costUsd);
}

/** What was used and what it cost, by pool. */
export function countUsage(pool: string, usage: Usage, costUsd: number | undefined): void {
  if (usage.inputTokens > 0) metrics.tokens({ pool, direction: "input" }, usage.inputTokens);
  if (usage.outputTokens > 0) metrics.tokens({ pool, direction: "output" }, usage.outputTokens);
  if (costUsd) metrics.costUsd({ pool }, costUsd);
}
