// What a trace shows of a batch: its own span with the number of its requests and links to each of them; alone it is
// part of its request's trace.
import * as api from "@opentelemetry/api";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Entry } from "#actors/inference/models/batch-entry.ts";
import { BatchingModel } from "#actors/inference/models/batching.ts";
import { finishSpan, startAttemptSpan } from "#actors/inference/telemetry.ts";
import type { Job } from "#contracts/job.ts";
import { systemClock } from "#runtime/clock.ts";
import { enableTracing } from "#runtime/observe/trace.ts";
import { jobOf } from "#test/harness/inference.ts";

const exporter = new InMemorySpanExporter();
const provider = new BasicTracerProvider({
  spanProcessors: [new SimpleSpanProcessor(exporter)],
});

beforeAll(() => {
  api.trace.setGlobalTracerProvider(provider);
  enableTracing(api);
});
afterAll(async () => {
  await provider.shutdown();
  api.trace.disable();
  api.context.disable();
});

const answerAll = (entries: readonly Entry[]): void => {
  for (const entry of entries) entry.feed("an answer", "stop", undefined);
};
const model = new BatchingModel({
  name: "m",
  mode: "chat-batch",
  limits: { maxRequests: 4, maxTokens: 1_000, maxWaitMs: 10, maxInFlight: 1 },
  single: { name: "m", provider: "openai", run: () => Promise.reject(new Error("not asked")) },
  clock: systemClock,
  send: async ({ entries }) => {
    answerAll(entries);
    return { inputTokens: 30, outputTokens: 12 };
  },
});

/** Runs a job as an attempt does: its span around the model's answer. */
async function attempt(job: Job): Promise<string> {
  const served = { model, price: { inputPerMTok: 1_000_000, outputPerMTok: 0 }, concurrency: 1 };
  const span = startAttemptSpan(served, job, 1);
  const answer = await model.run(
    { ...job, trace: span.context ?? null },
    { signal: new AbortController().signal, attempt: 1, onText() {} },
  );
  finishSpan(span, { ...answer, served, attempt: 1, firstTokenMs: 1, costUsd: answer.usage.inputTokens });
  return span.context?.traceparent.split("-")[2] ?? "";
}

test("a batch of several links its requests, and each carries its wait and its share", async () => {
  const requests = await Promise.all([jobOf(), jobOf(), jobOf()].map(attempt));
  const spans = exporter.getFinishedSpans();
  const [batch] = spans.filter(({ name }) => name === "batch m");
  expect(batch?.attributes).toMatchObject({
    "gen_ai.request.model": "m",
    "messaging.batch.message_count": 3,
    "gen_ai.usage.input_tokens": 30,
  });
  expect(batch?.links.map((link) => link.context.spanId)).toEqual(requests);
  const shares = spans.filter(({ name }) => name === "chat m").map(({ attributes }) => attributes);
  expect(shares).toHaveLength(3);
  for (const share of shares)
    expect(share).toMatchObject({
      "messaging.batch.message_count": 3,
      "jetclaw.batch.wait_ms": expect.any(Number),
      "jetclaw.batch.traceparent": expect.stringContaining(batch?.spanContext().spanId ?? "none"),
      "gen_ai.usage.input_tokens": 10,
      "gen_ai.usage.output_tokens": 4,
      "jetclaw.cost_usd": 10,
    });
});

test("a batch of one is a child of its request", async () => {
  exporter.reset();
  const request = await attempt(jobOf());
  const [batch] = exporter.getFinishedSpans().filter(({ name }) => name === "batch m");
  expect(batch?.parentSpanContext?.spanId).toBe(request);
  expect(batch?.links).toEqual([]);
});
