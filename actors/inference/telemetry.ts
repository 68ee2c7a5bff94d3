/** The spans of a job: its wait in the queue, and each attempt as a GenAI client span. */
import type { TraceContext } from "#contracts/envelope.ts";
import type { Job } from "#contracts/job.ts";
import { inferConsumer, inferStream } from "#contracts/subjects.ts";
import type { Pulled } from "#runtime/nats/pull.ts";
import {
  batchShareAttributes,
  chatRequestAttributes,
  chatResponseAttributes,
  receiveAttributes,
} from "#runtime/observe/genai.ts";
import { type Span, SpanKind, startSpan } from "#runtime/observe/trace.ts";
import type { Outcome } from "./attempt.ts";
import type { PooledModel } from "./models/registry.ts";

/** What a job's spans hang under, and what its result carries where no span is recorded. */
export function traceOf({ trace }: Pick<Job, "trace">): TraceContext | undefined {
  return trace ? { traceparent: trace.traceparent, tracestate: trace.tracestate ?? undefined } : undefined;
}

/** From the moment the stream stored the job to now. */
export function queueSpan(pool: string, job: Job, message: Pulled): void {
  startSpan(`take ${inferStream(pool)}`, {
    parent: traceOf(job),
    kind: SpanKind.CONSUMER,
    startAt: message.storedAt,
    attributes: receiveAttributes({
      destination: inferStream(pool),
      template: `infer.${pool}.{class}.{lane}.{tenant}.{session}`,
      consumer: inferConsumer(job.cls, job.lane),
    }),
  }).end();
}

/** @param startAt ms since the epoch; now when left out */
export function startAttemptSpan(
  first: PooledModel | undefined,
  job: Job,
  attempt: number,
  startAt?: number,
): Span {
  const model = job.model ?? first?.model.name ?? "none";
  return startSpan(`chat ${model}`, {
    parent: traceOf(job),
    kind: SpanKind.CLIENT,
    ...(startAt === undefined ? {} : { startAt }),
    attributes: chatRequestAttributes({
      provider: first?.model.provider ?? "none",
      model,
      conversation: job.session,
      attempt,
    }),
  });
}

export function finishSpan(span: Span, outcome: Outcome): void {
  span.set(
    chatResponseAttributes({
      model: outcome.served?.model.name ?? "none",
      finish: outcome.finish,
      firstTokenMs: outcome.firstTokenMs,
      ...outcome.usage,
    }),
  );
  if (outcome.batch) {
    span.set(batchShareAttributes({ ...outcome.batch, costUsd: outcome.costUsd }));
  }
  span.end(outcome.error ? new Error(`${outcome.error.code}: ${outcome.error.detail}`) : undefined);
}
