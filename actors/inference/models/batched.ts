/** From a model's configuration to its batching: the limits with their defaults, and how many requests it holds. */
import type { ModelConfig } from "#contracts/config.ts";
import { systemClock } from "#runtime/clock.ts";
import type { BatchLimits } from "../batcher.ts";
import type { Model } from "../port.ts";
import { type BatchMode, batchSender } from "./batch-request.ts";
import { BatchingModel } from "./batching.ts";
import { OPENAI_URL, openaiEndpoint } from "./openai.ts";
import { openProvider } from "./provider.ts";

export type BatchedConfig = ModelConfig & {
  readonly batch: Extract<NonNullable<ModelConfig["batch"]>, { maxWaitMs?: unknown }> & {
    readonly mode: BatchMode;
  };
};

const MAX_REQUESTS = 16;
const MAX_TOKENS = 32_768;
const MAX_WAIT_MS = 20;

export function isBatched(config: ModelConfig): config is BatchedConfig {
  const mode = config.batch?.mode;
  return config.provider === "openai" && (mode === "chat-batch" || mode === "prompt-array");
}

export function batchedModel(config: BatchedConfig, apiKey: string | undefined): Model {
  const { name, baseUrl = OPENAI_URL, batch, timeouts } = config;
  return new BatchingModel({
    name,
    mode: batch.mode,
    limits: limitsOf(config),
    send: batchSender(openProvider(baseUrl, apiKey, timeouts?.connectMs), name, batch.mode),
    single: openaiEndpoint({ name, baseUrl, apiKey, timeouts }).model,
    clock: systemClock,
    timeouts,
  });
}

/** A model's `concurrency` counts calls: batches at the provider at once. */
function limitsOf({ batch, concurrency }: BatchedConfig): BatchLimits {
  return {
    maxRequests: batch.maxRequests ?? MAX_REQUESTS,
    maxTokens: batch.maxTokens ?? MAX_TOKENS,
    maxWaitMs: batch.maxWaitMs ?? MAX_WAIT_MS,
    maxInFlight: concurrency,
  };
}

/** Requests that a worker holds for it: every batch in flight full, and the next one gathered while they run. */
export function batchedRequests(config: BatchedConfig): number {
  const { maxRequests, maxInFlight } = limitsOf(config);
  return maxRequests * (maxInFlight + 1);
}
