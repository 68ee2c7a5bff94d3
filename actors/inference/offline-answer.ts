/** What a batch brought for one job, on its way to whoever waits for it; and what a trace shows of a batch. */
import type { Job } from "#contracts/job.ts";
import { costOf, NO_USAGE, type Usage } from "#contracts/usage.ts";
import { batchRequestAttributes } from "#runtime/observe/genai.ts";
import { type Span, SpanKind, startSpan } from "#runtime/observe/trace.ts";
import { offlinePrice } from "./models/offline.ts";
import type { OfflineParts } from "./offline.ts";
import type { Batch, Parked } from "./offline-store.ts";
import type { ModelAnswer } from "./port.ts";
import { count, countUsage, resultOf, sendResult } from "./result.ts";
import { finishSpan, startAttemptSpan } from "./telemetry.ts";

/** The answer in a line's end, and what was used for it. Undefined where it is empty, filtered or garbage: it is paid for too. */
export function readAnswer(
  { pool, served }: OfflineParts,
  body: unknown,
  job: Job,
): { answer: ModelAnswer | undefined; usage: Usage } {
  let spent = NO_USAGE;
  try {
    const answer = served.offline.answerOf(body, job, (usage) => {
      spent = usage;
    });
    return { answer, usage: answer.usage };
  } catch {
    const price = offlinePrice(served.price);
    countUsage(pool, spent, price && costOf(spent, price));
    return { answer: undefined, usage: spent };
  }
}

/** Resolves when the result can no longer be lost. @throws as `sendResult` */
export async function deliver(
  { bus, clock, pool, served, worker }: OfflineParts,
  { job, parked, batch, answer }: { job: Job; parked: Parked; batch: Batch; answer: ModelAnswer },
  span: Span,
  signal: AbortSignal,
): Promise<void> {
  const price = offlinePrice(served.price);
  const costUsd = price && costOf(answer.usage, price);
  const waitMs = Math.max(0, batch.at - parked.arrivedAt);
  const share = { size: batch.seqs.length, waitMs, trace: span.context?.traceparent };
  const outcome = { ...answer, attempt: 1, costUsd, served, firstTokenMs: 0, batch: share };
  const own = startAttemptSpan(served, job, outcome.attempt, parked.arrivedAt);
  finishSpan(own, outcome);
  const timings = { queuedMs: Math.max(0, batch.at - job.at), totalMs: clock.now() - batch.at };
  const result = resultOf(worker, job, outcome, timings, 0);
  await sendResult({ bus, clock, signal }, job, result, own.context);
  count(pool, job, result);
}

/** From when the batch was sent; alone it is part of its request's trace, several are linked. */
export function startBatchSpan(
  { served: { model } }: OfflineParts,
  { at, seqs }: Batch,
  traces: readonly Parked["trace"][],
): Span {
  const [only] = traces;
  return startSpan(`batch ${model.name}`, {
    kind: SpanKind.CLIENT,
    startAt: at,
    ...(traces.length === 1 && only ? { parent: only } : { links: traces }),
    attributes: batchRequestAttributes({
      provider: model.provider,
      model: model.name,
      requests: seqs.length,
    }),
  });
}
