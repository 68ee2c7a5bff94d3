/**
 * Any OpenAI-compatible server, always streamed: a token is the only sign of life a model gives, and a stream is what
 * a stop can cancel. Retries are not made here: who calls decides whether and where.
 */
import type { ChatCompletionCreateParamsStreaming } from "openai/resources/chat/completions";
import { isStreamed, type Job } from "#contracts/job.ts";
import type { ModelAnswer, ModelRun } from "../port.ts";
import type { Endpoint } from "./endpoints.ts";
import { AnswerReader, estimateUsage } from "./openai-answer.ts";
import { type Concession, concessionOf, modelError } from "./openai-errors.ts";
import { readChunks } from "./openai-stream.ts";
import { Patience, type Timeouts } from "./patience.ts";
import { openProvider, type ProviderResponse } from "./provider.ts";
import { usedUp } from "./rate-limits.ts";

export interface OpenAiOptions {
  readonly name: string;
  /** `.../v1`; OpenAI's own when left out. */
  readonly baseUrl?: string | undefined;
  readonly apiKey?: string | undefined;
  readonly timeouts?: Timeouts | undefined;
}

export const OPENAI_URL = "https://api.openai.com/v1";
const PATH = "/chat/completions";

/** One address with one key. */
export function openaiEndpoint({
  name,
  baseUrl = OPENAI_URL,
  apiKey,
  timeouts,
}: OpenAiOptions): Pick<Endpoint, "model" | "onUsedUp"> {
  const provider = openProvider(baseUrl, apiKey, timeouts?.connectMs);
  const own = isOwn(baseUrl);
  const conceded = new Set<Concession>();
  let tellUsedUp: (ms: number) => void = () => {};

  const send = async (job: Job, run: ModelRun, signal: AbortSignal): Promise<ProviderResponse> => {
    const options = { signal, headers: jobHeaders(job.id, run.attempt) };
    const without = new Set(conceded);
    for (;;) {
      const body = requestOf(name, job, { own, stream: isStreamed(job), without });
      try {
        const response = await provider.post(PATH, body, options);
        // Known by what it takes: a request that is refused without it as well was refused for something else.
        for (const each of without) conceded.add(each);
        return response;
      } catch (error) {
        const refused = concessionOf(error, body, !job.chat);
        if (!refused || without.has(refused)) throw error;
        without.add(refused);
      }
    }
  };

  const open = async (job: Job, run: ModelRun, signal: AbortSignal): Promise<ProviderResponse> => {
    const response = await send(job, run, signal);
    // When the first words are on their way.
    setImmediate(() => {
      const ms = usedUp(response.headers, Date.now());
      if (ms !== undefined) tellUsedUp(ms);
    });
    return response;
  };

  const model = {
    name,
    provider: "openai",
    estimate: estimateUsage,
    async run(job: Job, run: ModelRun): Promise<ModelAnswer> {
      const patience = new Patience(run.signal, (run.until ?? job.deadline) - Date.now(), timeouts);
      const reader = new AnswerReader(run);
      try {
        patience.arm(isStreamed(job) ? "first" : "whole");
        await readChunks(await open(job, run, patience.signal), (chunks) => {
          for (const chunk of chunks) reader.read(chunk);
          patience.arm(reader.finished ? "finished" : reader.begun ? "between" : "opened");
          return !reader.full;
        });
      } catch (error) {
        run.signal.throwIfAborted();
        // What is missing after the finish reason is at most the usage.
        if (!reader.finished) throw modelError(patience.signal.aborted ? patience.signal.reason : error);
      } finally {
        patience.end();
      }
      return reader.answer(job);
    },
  };
  return {
    model,
    onUsedUp(tell) {
      tellUsedUp = tell;
    },
  };
}

/** Lets the provider's bill, or a proxy's, be matched with our jobs. */
function jobHeaders(id: string, attempt: number): Record<string, string> {
  const printable = /^[\x21-\x7e]+$/.test(id) ? id : encodeURIComponent(id);
  return { "x-jetclaw-job": printable, "x-jetclaw-attempt": String(attempt) };
}

/** OpenAI's newer models refuse `max_tokens`; many compatible servers know nothing else. */
export const isOwn = (baseUrl: string): boolean =>
  /^api\.openai\.com$|\.openai\.azure\.com$/.test(new URL(baseUrl).hostname);

/**
 * A job as the body of a chat completion. `own`: for OpenAI itself, see `isOwn`. `without`: what this server was seen to
 * refuse; a temperature that a caller of the endpoint asks for is the caller's, and stays.
 */
export function requestOf(
  model: string,
  job: Job,
  { own, stream, without }: { own: boolean; stream: boolean; without?: ReadonlySet<Concession> },
): ChatCompletionCreateParamsStreaming {
  const limit = job.maxOutputTokens ?? undefined;
  const isNewer = own !== !!without?.has("limit");
  const warmth = without?.has("temperature") && !job.chat ? undefined : (job.temperature ?? undefined);
  return {
    ...(job.chat?.options as Partial<ChatCompletionCreateParamsStreaming> | undefined),
    model,
    messages: (job.chat?.messages ?? job.messages) as ChatCompletionCreateParamsStreaming["messages"],
    stream: stream as true,
    ...(stream && !without?.has("usage") ? { stream_options: { include_usage: true } } : {}),
    ...(limit === undefined ? {} : isNewer ? { max_completion_tokens: limit } : { max_tokens: limit }),
    ...(warmth === undefined ? {} : { temperature: warmth }),
  };
}
