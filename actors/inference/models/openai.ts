/**
 * Any OpenAI-compatible server, always streamed: a token is the only sign of life a model gives, and a stream is what
 * a stop can cancel. Retries are not made here: who calls decides whether and where.
 */
import OpenAI from "openai";
import type { ChatCompletionCreateParamsStreaming } from "openai/resources/chat/completions";
import type { Job } from "#contracts/job.ts";
import type { Model, ModelAnswer, ModelRun } from "../port.ts";
import { AnswerReader, estimateUsage } from "./openai-answer.ts";
import { modelError, refusesStreamOptions } from "./openai-errors.ts";
import { chunksOf } from "./openai-stream.ts";
import { Patience } from "./patience.ts";

export interface OpenAiOptions {
  readonly name: string;
  /** `.../v1`; OpenAI's own when left out. */
  readonly baseUrl?: string | undefined;
  readonly apiKey?: string | undefined;
}

const OPENAI_URL = "https://api.openai.com/v1";

export function openaiModel({ name, baseUrl = OPENAI_URL, apiKey }: OpenAiOptions): Model {
  // Every value that the SDK would otherwise read from the environment is given: configuration is ours to read.
  const client = new OpenAI({
    baseURL: baseUrl,
    apiKey: apiKey ?? "none",
    adminAPIKey: null,
    organization: null,
    project: null,
    webhookSecret: null,
    maxRetries: 0,
    logLevel: "off",
    // A configured address that redirects elsewhere would carry the key and the conversation there.
    fetchOptions: { redirect: "error" },
  });
  const own = new URL(baseUrl).hostname === "api.openai.com";
  let asksUsage = true;

  const open = async (job: Job, run: ModelRun, signal: AbortSignal): Promise<Response> => {
    const options = { signal, headers: jobHeaders(job.id, run.attempt) };
    try {
      return await client.chat.completions.create(requestOf(name, job, own, asksUsage), options).asResponse();
    } catch (error) {
      if (!asksUsage || !refusesStreamOptions(error)) throw error;
      asksUsage = false;
      return await client.chat.completions.create(requestOf(name, job, own, false), options).asResponse();
    }
  };

  return {
    name,
    provider: "openai",
    estimate: estimateUsage,
    async run(job, run): Promise<ModelAnswer> {
      const patience = new Patience(run.signal, job.deadline - Date.now());
      const reader = new AnswerReader(run.onText);
      try {
        patience.arm("first");
        for await (const chunks of chunksOf(await open(job, run, patience.signal))) {
          for (const chunk of chunks) reader.read(chunk);
          if (reader.full) break;
          patience.arm(reader.finished ? "finished" : "between");
        }
        return reader.answer(job);
      } catch (error) {
        run.signal.throwIfAborted();
        // What was missing after the finish reason is at most the usage.
        if (reader.finished) return reader.answer(job);
        throw modelError(patience.signal.aborted ? patience.signal.reason : error);
      } finally {
        patience.end();
      }
    },
  };
}

/** Lets the provider's bill, or a proxy's, be matched with our jobs. */
function jobHeaders(id: string, attempt: number): Record<string, string> {
  const printable = /^[\x21-\x7e]+$/.test(id) ? id : encodeURIComponent(id);
  return { "x-jetclaw-job": printable, "x-jetclaw-attempt": String(attempt) };
}

function requestOf(
  model: string,
  job: Job,
  own: boolean,
  usage: boolean,
): ChatCompletionCreateParamsStreaming {
  const limit = job.maxOutputTokens ?? undefined;
  return {
    model,
    messages: job.messages as ChatCompletionCreateParamsStreaming["messages"],
    stream: true,
    ...(usage ? { stream_options: { include_usage: true } } : {}),
    // OpenAI's newer models refuse `max_tokens`; many compatible servers know nothing else.
    ...(limit === undefined ? {} : own ? { max_completion_tokens: limit } : { max_tokens: limit }),
    ...(job.temperature === null || job.temperature === undefined ? {} : { temperature: job.temperature }),
  };
}
