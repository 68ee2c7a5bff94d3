/**
 * The names of OpenTelemetry's GenAI and messaging attributes, in one file because all of the GenAI ones are still
 * "Development" and will be renamed. Source: OpenTelemetry semantic conventions, gen-ai and messaging.
 */
import type { Attributes } from "@opentelemetry/api";

export interface ChatRequest {
  readonly provider: string;
  readonly model: string;
  readonly conversation: string;
  readonly attempt: number;
}

/** What is known when a model is called. */
export function chatRequestAttributes(request: ChatRequest): Attributes {
  return {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": request.provider,
    "gen_ai.request.model": request.model,
    "gen_ai.conversation.id": request.conversation,
    "jetclaw.attempt": request.attempt,
  };
}

export interface ChatResponse {
  readonly model: string;
  readonly finish: string;
  /** Milliseconds; 0 when no token came. */
  readonly firstTokenMs: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cachedInputTokens?: number | undefined;
}

/** What is known when it has answered. */
export function chatResponseAttributes(response: ChatResponse): Attributes {
  return {
    "gen_ai.response.model": response.model,
    "gen_ai.response.finish_reasons": [response.finish],
    "gen_ai.response.time_to_first_chunk": response.firstTokenMs / 1_000,
    "gen_ai.usage.input_tokens": response.inputTokens,
    "gen_ai.usage.output_tokens": response.outputTokens,
    ...(response.cachedInputTokens === undefined
      ? {}
      : { "gen_ai.usage.cache_read.input_tokens": response.cachedInputTokens }),
  };
}

export interface BatchRequest {
  readonly provider: string;
  readonly model: string;
  readonly requests: number;
}

/** One call that answers several requests. */
export function batchRequestAttributes(batch: BatchRequest): Attributes {
  return {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": batch.provider,
    "gen_ai.request.model": batch.model,
    "messaging.batch.message_count": batch.requests,
  };
}

export function batchResponseAttributes(usage: { inputTokens: number; outputTokens: number }): Attributes {
  return {
    "gen_ai.usage.input_tokens": usage.inputTokens,
    "gen_ai.usage.output_tokens": usage.outputTokens,
  };
}

export interface BatchPart {
  readonly size: number;
  readonly waitMs: number;
  readonly trace: string | undefined;
  readonly costUsd: number | undefined;
}

/** A request's part in its batch; its tokens stand under the usual names. */
export function batchShareAttributes(part: BatchPart): Attributes {
  return {
    "messaging.batch.message_count": part.size,
    "jetclaw.batch.wait_ms": part.waitMs,
    ...(part.trace === undefined ? {} : { "jetclaw.batch.traceparent": part.trace }),
    ...(part.costUsd === undefined ? {} : { "jetclaw.cost_usd": part.costUsd }),
  };
}

export interface Receive {
  /** The stream. */
  readonly destination: string;
  /** The subject with its ids left out, so that the attribute stays bounded. */
  readonly template: string;
  readonly consumer: string;
}

/** A message taken from a stream. There is no registered value for NATS in `messaging.system`. */
export function receiveAttributes(receive: Receive): Attributes {
  return {
    "messaging.system": "nats",
    "messaging.operation.name": "take",
    "messaging.operation.type": "receive",
    "messaging.destination.name": receive.destination,
    "messaging.destination.template": receive.template,
    "messaging.consumer.group.name": receive.consumer,
  };
}
