/**
 * One attempt of one job, from the message to its acknowledgement. The job is acked only after its result was stored;
 * whatever is thrown ends as a result, a dead letter or a job given back, never as the end of the worker.
 */
import { decodeUntrusted, encode } from "#contracts/codec.ts";
import { asJetclawError } from "#contracts/errors.ts";
import { attemptOf, type Job, type JobResult, jobSchema } from "#contracts/job.ts";
import { LIMITS } from "#contracts/limits.ts";
import { tokensSubject } from "#contracts/subjects.ts";
import { NO_USAGE } from "#contracts/usage.ts";
import type { Clock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import type { Pulled } from "#runtime/nats/pull.ts";
import { killPoint } from "#runtime/observe/kill-point.ts";
import { type Log, sessionHash } from "#runtime/observe/log.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import { type Outcome, runAttempt } from "./attempt.ts";
import { Chunks } from "./chunks.ts";
import type { ModelPool } from "./pool.ts";
import { giveBack, type RunJob } from "./pump.ts";
import { bury, sendResult } from "./result.ts";
import type { Stops } from "./stops.ts";
import { finishSpan, queueSpan, startAttemptSpan, traceOf } from "./telemetry.ts";

export interface ExecuteParts {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  /** Name of the pool, and its models. */
  readonly pool: string;
  readonly models: ModelPool;
  readonly stops: Stops;
  /** Instance that results name. */
  readonly worker: string;
}

/** What could not be stored is given back with this delay. */
const RETRY_MS = 1_000;
/** A failure's text is for an operator; a result carries no novels. */
const DETAIL_CHARS = 300;

/** The function that the pump calls with each job. It never rejects. */
export function executor(parts: ExecuteParts): RunJob {
  return async (message, handBack) => {
    try {
      await execute(parts, message, handBack);
    } catch (err) {
      // Handing back is the one expected way out that ends here.
      if (!handBack.aborted)
        parts.log.error({ err, pool: parts.pool, seq: message.seq }, "attempt not finished, job given back");
      giveBack(message, handBack.aborted ? undefined : RETRY_MS);
    }
  };
}

async function execute(parts: ExecuteParts, message: Pulled, handBack: AbortSignal): Promise<void> {
  const takenAt = parts.clock.now();
  const taken = killPoint("worker.afterTake");
  if (taken) await taken;
  const job = readJob(message.data);
  if (typeof job === "string") return buryJob(parts, message, job);
  const queuedMs = Math.max(0, takenAt - job.at);
  metrics.queuedMs(queuedMs, { pool: parts.pool, class: job.cls });
  queueSpan(parts.pool, job, message);
  const first = attemptOf(message.deliveries, 0);
  const span = startAttemptSpan(parts.models.candidates(job)[0], job, first);
  const streamTo = job.replyTo ?? tokensSubject(job.tenant, job.session, job.turn);
  const chunks = new Chunks({
    turn: job.turn,
    attempt: first,
    publish: (event) => parts.bus.publish(streamTo, encode(event)),
  });
  // Whatever a model records about this job hangs under its attempt.
  const traced: Job = span.context ? { ...job, trace: span.context } : job;
  let outcome: Outcome;
  try {
    if (message.deliveries > LIMITS.jobAttempts) await bury(parts, parts.pool, message, givenUp(message));
    if (job.stream && message.deliveries > 1) chunks.restart();
    outcome = await outcomeOf(parts, traced, message, handBack, chunks);
  } finally {
    chunks.close();
  }
  finishSpan(span, outcome);
  if (outcome.finish === "handed-back") return giveBack(message);
  const result = resultOf(
    parts,
    job,
    outcome,
    { queuedMs, totalMs: parts.clock.now() - takenAt },
    chunks.sent,
  );
  const before = killPoint("worker.beforeResult");
  if (before) await before;
  await sendResult({ ...parts, signal: handBack }, job, result, span.context ?? traceOf(job));
  const after = killPoint("worker.afterResult");
  if (after) await after;
  message.ack();
  count(parts.pool, job, result);
}

function outcomeOf(
  parts: ExecuteParts,
  job: Job,
  message: Pulled,
  handBack: AbortSignal,
  chunks: Chunks,
): Promise<Outcome> | Outcome {
  if (message.deliveries > LIMITS.jobAttempts) {
    parts.log.warn(
      { job: job.id, deliveries: message.deliveries, pool: parts.pool },
      "job given up: it may end workers",
    );
    const error = { code: "turn.failed", detail: givenUp(message) } as const;
    return {
      finish: "failed",
      text: "",
      citations: [],
      attempt: attemptOf(message.deliveries, 0),
      usage: NO_USAGE,
      costUsd: undefined,
      served: undefined,
      firstTokenMs: 0,
      error,
    };
  }
  return runAttempt(job, {
    pool: parts.models,
    stops: parts.stops,
    clock: parts.clock,
    delivery: message.deliveries,
    handBack,
    onText: (text) => {
      if (job.stream) chunks.add(text);
    },
    onRestart: (attempt) => {
      if (job.stream) chunks.restart(attempt);
    },
    onFailure: (model, error) =>
      parts.log.warn(
        {
          pool: parts.pool,
          model: model.model.name,
          reason: error.reason,
          ...(error.cause === undefined ? {} : { err: error.cause }),
          detail: error.detail,
          session: sessionHash(job.session),
        },
        "model failed",
      ),
  });
}

const givenUp = ({ deliveries }: Pulled): string => `not run: it was delivered ${deliveries} times`;

/** The job, or why it is none. */
function readJob(data: Uint8Array): Job | string {
  try {
    const parsed = jobSchema.safeParse(decodeUntrusted(data));
    if (parsed.success) return parsed.data;
    return parsed.error.issues
      .slice(0, 3)
      .map(({ path, message }) => `${path.join(".")}: ${message}`)
      .join("; ")
      .slice(0, DETAIL_CHARS);
  } catch (error) {
    return asJetclawError(error).message.slice(0, DETAIL_CHARS);
  }
}

async function buryJob(parts: ExecuteParts, message: Pulled, detail: string): Promise<void> {
  await bury(parts, parts.pool, message, detail);
  parts.log.warn(
    { pool: parts.pool, seq: message.seq, detail },
    "a job cannot be decoded, kept as a dead letter",
  );
  message.ack();
}

function resultOf(
  parts: ExecuteParts,
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
    model: served?.model.name ?? job.model ?? "",
    chunks,
    usage,
    ...(costUsd === undefined ? {} : { costUsd }),
    ...(error ? { error: errorOf(error) } : {}),
    timings: { ...timings, firstTokenMs: outcome.firstTokenMs },
    worker: parts.worker,
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

function count(pool: string, job: Job, result: JobResult): void {
  metrics.jobs({ pool, class: job.cls, result: result.finish });
  metrics.jobMs(result.timings.totalMs, { pool });
  if (result.timings.firstTokenMs > 0) metrics.firstTokenMs(result.timings.firstTokenMs, { pool });
  if (result.usage.inputTokens > 0) metrics.tokens({ pool, direction: "input" }, result.usage.inputTokens);
  if (result.usage.outputTokens > 0) metrics.tokens({ pool, direction: "output" }, result.usage.outputTokens);
  if (result.costUsd) metrics.costUsd({ pool }, result.costUsd);
}
