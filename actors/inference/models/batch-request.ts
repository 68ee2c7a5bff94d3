/**
 * One batch as one HTTP request, in the two shapes that servers know. What vLLM takes: the sampling options of a batch are
 * shared by its requests, no tools, one answer each; `/chat/completions/batch` does not stream and counts tokens for the
 * whole batch; `/completions` streams by `choices[].index` and counts for each choice where it is asked to.
 */
import type { Job } from "#contracts/job.ts";
import type { Usage } from "#contracts/usage.ts";
import { ModelFailure } from "../failure.ts";
import type { Entry } from "./batch-entry.ts";
import { promptOf, STOP_SEQUENCES } from "./chat-template.ts";
import { usageOf } from "./openai-answer.ts";
import { refusesStreamOptions } from "./openai-errors.ts";
import { readChunks } from "./openai-stream.ts";
import type { Provider, ProviderResponse } from "./provider.ts";

export type BatchMode = "chat-batch" | "prompt-array";

export interface BatchCall {
  readonly entries: readonly Entry[];
  readonly signal: AbortSignal;
  /** A sign of life came. */
  onProgress(): void;
}

/** Sends a batch, feeds its entries, and resolves with what all of them used where the server says so. */
export type SendBatch = (call: BatchCall) => Promise<Usage | undefined>;

/** `/completions` stops after 16 tokens when it is not told otherwise. */
const OUTPUT_TOKENS = 1_024;
/** The jobs of a batch are named in a header up to this size; servers end requests with longer ones. */
const HEADER_CHARS = 4_096;

/** Requests with equal options can share a batch. */
export function batchGroupOf({ maxOutputTokens, temperature }: Job): string {
  return `${maxOutputTokens ?? ""}/${temperature ?? ""}`;
}

export function batchSender(provider: Provider, model: string, mode: BatchMode): SendBatch {
  return mode === "chat-batch" ? chatBatch(provider, model) : promptArray(provider, model);
}

function chatBatch(provider: Provider, model: string): SendBatch {
  return async ({ entries, signal }) => {
    const { temperature, maxOutputTokens } = optionsOf(entries);
    const asked = {
      model,
      messages: entries.map(({ job }) => job.messages),
      ...(maxOutputTokens === undefined ? {} : { max_tokens: maxOutputTokens }),
      ...(temperature === undefined ? {} : { temperature }),
    };
    const options = { signal, headers: jobsHeaders(entries) };
    const response = await provider.post("/chat/completions/batch", asked, options);
    const body = objectOf(await jsonOf(response));
    if (!Array.isArray(body.choices)) throw garbage();
    const choices = new Map(
      body.choices.map((choice: unknown) => [objectOf(choice).index, objectOf(choice)]),
    );
    for (const [index, entry] of entries.entries()) {
      const choice = choices.get(index);
      if (!choice) entry.fail(new ModelFailure("failed", "the batch's response lacks this answer"));
      else entry.feed(objectOf(choice.message).content ?? "", choice.finish_reason ?? "stop", undefined);
    }
    return usageOf(body.usage);
  };
}

function promptArray(provider: Provider, model: string): SendBatch {
  // What a server refuses once it is not asked for again.
  let asks: "each" | "total" | "nothing" = "each";
  const open = async ({ entries, signal }: BatchCall): Promise<ProviderResponse> => {
    const { temperature, maxOutputTokens = OUTPUT_TOKENS } = optionsOf(entries);
    for (;;) {
      try {
        const asked = {
          model,
          prompt: entries.map(({ job }) => promptOf(job.messages)),
          stream: true,
          stop: STOP_SEQUENCES,
          max_tokens: maxOutputTokens,
          ...(temperature === undefined ? {} : { temperature }),
          ...(asks === "nothing" ? {} : { stream_options: usageOptions(asks) }),
        };
        return await provider.post("/completions", asked, { signal, headers: jobsHeaders(entries) });
      } catch (error) {
        if (asks === "nothing" || !refusesStreamOptions(error)) throw error;
        asks = asks === "each" ? "total" : "nothing";
      }
    }
  };
  return async (call) => {
    let total: Usage | undefined;
    await readChunks(await open(call), (chunks) => {
      let progress = false;
      for (const chunk of chunks as Iterable<unknown>) {
        progress = true;
        const { choices, usage } = objectOf(chunk);
        if (Array.isArray(choices) && choices.length > 0)
          for (const choice of choices)
            feedChoice(call.entries, choice, choices.length === 1 ? usage : undefined);
        else total = usageOf(usage) ?? total;
      }
      if (progress) call.onProgress();
      return true;
    });
    return total;
  };
}

const usageOptions = (asks: "each" | "total") => ({
  include_usage: true,
  ...(asks === "each" ? { continuous_usage_stats: true } : {}),
});

function feedChoice(entries: readonly Entry[], choice: unknown, usage: unknown): void {
  const { index, text, finish_reason } = objectOf(choice);
  if (!Number.isInteger(index)) throw garbage();
  // A count in the middle of an answer is no count of the answer.
  entries[index as number]?.feed(text, finish_reason, finish_reason ? usageOf(usage) && usage : undefined);
}

function optionsOf(entries: readonly Entry[]): { temperature?: number; maxOutputTokens?: number } {
  const { temperature, maxOutputTokens } = entries[0]?.job ?? {};
  return {
    ...(typeof temperature === "number" ? { temperature } : {}),
    ...(typeof maxOutputTokens === "number" ? { maxOutputTokens } : {}),
  };
}

/** Lets the provider's bill, or a proxy's, be matched with our jobs. */
function jobsHeaders(entries: readonly Entry[]): Record<string, string> {
  const jobs = entries.map(({ job }) => encodeURIComponent(job.id)).join(",");
  if (jobs.length > HEADER_CHARS) return {};
  return { "x-jetclaw-jobs": jobs, "x-jetclaw-attempts": entries.map(({ attempt }) => attempt).join(",") };
}

async function jsonOf(response: ProviderResponse): Promise<unknown> {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    throw garbage();
  }
}

const garbage = (): ModelFailure =>
  new ModelFailure("failed", "the response of the batch holds something else than answers");

const objectOf = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
