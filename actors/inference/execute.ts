/**
 * One attempt of one job, from the message to its acknowledgement. The job is acked only after its result was stored;
 * whatever is thrown ends as a result, a dead letter or a job given back, never as the end of the worker.
 */
import { decodeUntrusted, encode } from "#contracts/codec.ts";
import { asJetclawError } from "#contracts/errors.ts";
import { attemptOf, type Job, jobSchema } from "#contracts/job.ts";
import { LIMITS } from "#contracts/limits.ts";
import { tokensSubject } from "#contracts/subjects.ts";
import { NO_USAGE } from "#contracts/usage.ts";
import type { Clock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import type { Pulled } from "#runtime/nats/pull.ts";
import { killPoint } from "#runtime/observe/kill-point.ts";
import { type Log, sessionHash } from "#runtime/observe/log.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import { type AttemptParts, type Outcome, runAttempt } from "./attempt.ts";
import { Chunks } from "./chunks.ts";
import { park } from "./offline-store.ts";
import type { ModelPool } from "./pool.ts";
import type { RunJob } from "./pump.ts";
import { giveBack } from "./pump-queue.ts";
import { bury, count, resultOf, sendResult } from "./result.ts";
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
  return async (message, handBack, leaving) => {
    try {
      await execute(parts, message, { handBack, leaving });
    } catch (err) {
      // Handing back is the one expected way out that ends here.
      if (!handBack.aborted)
        parts.log.error({ err, pool: parts.pool, seq: message.seq }, "attempt not finished, job given back");
      giveBack(message, handBack.aborted ? undefined : RETRY_MS);
    }
  };
}

type Endings = Pick<AttemptParts, "handBack" | "leaving">;

async function execute(parts: ExecuteParts, message: Pulled, endings: Endings): Promise<void> {
  const takenAt = parts.clock.now();
  const taken = killPoint("worker.afterTake");
  if (taken) await taken;
  const job = readJob(message.data);
  if (typeof job === "string") return buryJob(parts, message, job);
  const queuedMs = Math.max(0, takenAt - job.at);
  queueSpan(parts.pool, job, message);
  const mayEndWorkers = message.deliveries > LIMITS.jobAttempts;
  const offline = mayEndWorkers ? undefined : offlineModelOf(parts, job);
  if (offline !== undefined) {
    await park(parts.bus, job, offline, message.data);
    return message.ack();
  }
  const first = attemptOf(message.deliveries, 0);
  const span = startAttemptSpan(parts.models.candidates(job)[0], job, first);
  const streamTo = job.replyTo ?? tokensSubject(job.tenant, job.session, job.turn);
  const chunks = new Chunks({
    turn: job.turn,
    attempt: first,
    publish: (event, hurried) => parts.bus.publish(streamTo, encode(event), { hurried }),
  });
  // Whatever a model records about this job hangs under its attempt.
  const traced: Job = span.context ? { ...job, trace: span.context } : job;
  let outcome: Outcome;
  try {
    if (job.stream && message.deliveries > 1) chunks.restart();
    outcome = await (mayEndWorkers
      ? giveUp(parts, job, message)
      : runOnce(parts, traced, message, endings, chunks));
  } finally {
    chunks.close();
  }
  // What only counts is counted when nobody waits for the first word any more.
  metrics.queuedMs(queuedMs, { pool: parts.pool, class: job.cls });
  finishSpan(span, outcome);
  if (outcome.finish === "handed-back") return giveBack(message);
  const result = resultOf(
    parts.worker,
    job,
    outcome,
    { queuedMs, totalMs: parts.clock.now() - takenAt },
    chunks.sent,
  );
  const before = killPoint("worker.beforeResult");
  if (before) await before;
  await sendResult({ ...parts, signal: endings.handBack }, job, result, span.context ?? traceOf(job));
  const after = killPoint("worker.afterResult");
  if (after) await after;
  message.ack();
  count(parts.pool, job, result);
  metrics.jobMs(result.timings.totalMs, { pool: parts.pool });
  if (outcome.firstTokenMs > 0) metrics.firstTokenMs(outcome.firstTokenMs, { pool: parts.pool });
}

/** The model whose batches may carry the job: nobody waits for it, and a batch has the time. */
function offlineModelOf({ models, clock }: ExecuteParts, job: Job): string | undefined {
  if (job.cls !== "deferred" || job.online) return undefined;
  const able = models.members.filter(
    ({ offline }) => offline && job.deadline - clock.now() >= offline.leastMs,
  );
  const isNamed = models.members.some(({ model }) => model.name === job.model);
  return able.find(({ model }) => !isNamed || model.name === job.model)?.model.name;
}

async function giveUp(parts: ExecuteParts, { id }: Job, message: Pulled): Promise<Outcome> {
  const { pool, log } = parts;
  const { deliveries } = message;
  const detail = `not run: it was delivered ${deliveries} times`;
  await bury(parts, pool, message, detail);
  log.warn({ job: id, deliveries, pool }, "job given up: it may end workers");
  return {
    finish: "failed",
    text: "",
    citations: [],
    attempt: attemptOf(deliveries, 0),
    usage: NO_USAGE,
    costUsd: undefined,
    served: undefined,
    firstTokenMs: 0,
    error: { code: "turn.failed", detail },
  };
}

function runOnce(
  parts: ExecuteParts,
  job: Job,
  message: Pulled,
  endings: Endings,
  chunks: Chunks,
): Promise<Outcome> {
  return runAttempt(job, {
    pool: parts.models,
    stops: parts.stops,
    clock: parts.clock,
    delivery: message.deliveries,
    ...endings,
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

/** The job, or why it is none. */
function readJob(data: Uint8Array): Job | string {
  try {
    const parsed = jobSchema.safeParse(decodeUntrusted(data, LIMITS.payloadBytes));
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
