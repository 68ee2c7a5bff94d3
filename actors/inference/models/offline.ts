/** A model whose `deferred` jobs go by its provider's batch API: the limits with their defaults, and a job as a line. */
import { type ModelConfig, OFFLINE_LEAST_MS } from "#contracts/config.ts";
import type { Job } from "#contracts/job.ts";
import { LIMITS } from "#contracts/limits.ts";
import type { Price } from "#contracts/usage.ts";
import type { BatchLimits, Urgency } from "../batcher.ts";
import type { ModelAnswer, ModelRun } from "../port.ts";
import { type BatchApi, batchApi, COMPLETIONS } from "./batch-api.ts";
import { isOwn, OPENAI_URL, requestOf } from "./openai.ts";
import { AnswerReader } from "./openai-answer.ts";
import { wholeChunk } from "./openai-stream.ts";
import { openProvider } from "./provider.ts";

export interface OfflineModel {
  readonly api: BatchApi;
  /** `maxInFlight`: batches at the provider at once. */
  readonly limits: BatchLimits;
  /** A job that must be answered sooner than this is asked like any other. */
  readonly leastMs: number;
  /** When one that was sent offline is asked like any other all the same; the last gets as long as any turn does. */
  readonly urgency: Urgency;
  /** A job as a line of a batch's file. */
  lineOf(id: string, job: Job): string;
  /** The answer in a line's end. @throws JetclawError `model.unavailable`, `model.rejected` */
  answerOf(body: unknown, job: Job, onSpent: ModelRun["onSpent"]): ModelAnswer;
}

type OfflineConfig = ModelConfig & { readonly batch: { readonly mode: "offline" } };

/** What an answer takes one by one, about. */
const ALONE_MS = 5_000;
const MAX_REQUESTS = 1_000;
const MAX_TOKENS = 1_000_000;
const MAX_WAIT_MS = 60_000;
/** Answers of 10,000 requests, each as long as a model writes. */
const FILE_BYTES = 512 * 1024 * 1024;

export function isOffline(config: ModelConfig): config is OfflineConfig {
  return config.provider === "openai" && config.batch?.mode === "offline";
}

export function offlineModel(config: OfflineConfig, apiKey: string | undefined): OfflineModel {
  const { name, batch, concurrency, timeouts } = config;
  const baseUrl = config.endpoints?.[0]?.baseUrl ?? config.baseUrl ?? OPENAI_URL;
  const own = isOwn(baseUrl);
  const leastMs = batch.leastMs ?? OFFLINE_LEAST_MS;
  return {
    api: batchApi(openProvider(baseUrl, apiKey, timeouts?.connectMs, FILE_BYTES)),
    limits: {
      maxRequests: batch.maxRequests ?? MAX_REQUESTS,
      maxTokens: batch.maxTokens ?? MAX_TOKENS,
      maxWaitMs: batch.maxWaitMs ?? MAX_WAIT_MS,
      maxInFlight: concurrency,
    },
    leastMs,
    urgency: {
      leastMs: Math.min(LIMITS.turnDeadlineMs, leastMs / 2),
      eachMs: ALONE_MS / concurrency,
      mostMs: leastMs,
    },
    lineOf(id, job) {
      const { stream: _, ...body } = requestOf(name, job, { own, stream: false });
      return JSON.stringify({ custom_id: id, method: "POST", url: COMPLETIONS, body });
    },
    answerOf(body, job, onSpent) {
      const reader = new AnswerReader({ onText() {}, onSpent });
      reader.read(wholeChunk((body ?? {}) as Parameters<typeof wholeChunk>[0]));
      return reader.answer(job);
    },
  };
}

/** What the providers ask of the usual price. */
const SHARE = 0.5;

export const offlinePrice = (price: Price | undefined): Price | undefined =>
  price && {
    inputPerMTok: price.inputPerMTok * SHARE,
    outputPerMTok: price.outputPerMTok * SHARE,
    ...(price.cachedInputPerMTok === undefined
      ? {}
      : { cachedInputPerMTok: price.cachedInputPerMTok * SHARE }),
  };
