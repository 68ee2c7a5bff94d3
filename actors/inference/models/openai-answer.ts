/** Reads the chunks of a streamed chat completion into one answer, and trusts none of them. */
import type { ChatCompletionChunk } from "openai/resources/chat/completions";
import { JetclawError } from "#contracts/errors.ts";
import type { Job } from "#contracts/job.ts";
import type { Usage } from "#contracts/usage.ts";
import type { ModelAnswer } from "../port.ts";
import { citationsOf } from "./citations.ts";
import { ToolCallReader } from "./tool-calls.ts";

/** An answer longer than this is cut off: it would not fit the envelope of its result. */
const ANSWER_CHARS = 200_000;
/** Rough size of a token where the provider counts none; English prose has 4 to 5 characters a token. */
const CHARS_PER_TOKEN = 4;

export class AnswerReader {
  readonly #onText: (text: string) => void;
  readonly #tools = new ToolCallReader();
  #text = "";
  #refusal = "";
  #finish: "stop" | "length" | undefined;
  #usage: Usage | undefined;
  #full = false;

  constructor(onText: (text: string) => void) {
    this.#onText = onText;
  }

  /** The server gave a finish reason: what follows is at most the usage. */
  get finished(): boolean {
    return this.#finish !== undefined;
  }

  /** The answer reached its limit: nothing more is read. */
  get full(): boolean {
    return this.#full;
  }

  /** @throws JetclawError `model.unavailable` for what is no chunk, `model.rejected` for a filtered answer */
  read(chunk: ChatCompletionChunk): void {
    this.#usage = usageOf(chunk.usage) ?? this.#usage;
    const choice = Array.isArray(chunk.choices) ? chunk.choices[0] : undefined;
    if (!choice || this.finished) return;
    const content: unknown = choice.delta?.content;
    if (typeof content === "string") this.#add(content);
    else if (content !== undefined && content !== null) throw garbage();
    const refusal: unknown = choice.delta?.refusal;
    if (typeof refusal === "string") this.#refusal = (this.#refusal + refusal).slice(0, ANSWER_CHARS);
    this.#tools.read(choice.delta?.tool_calls);
    if (choice.finish_reason === "content_filter" && this.#text === "")
      throw new JetclawError("model.rejected", "the provider filtered the answer");
    if (choice.finish_reason) this.#finish ??= choice.finish_reason === "length" ? "length" : "stop";
  }

  /** @throws JetclawError `model.unavailable` when the stream ended before the answer did */
  answer(job: Job): ModelAnswer {
    if (this.#finish === undefined)
      throw new JetclawError("model.unavailable", "the stream ended before the answer did");
    const toolCalls = this.#tools.calls();
    // Nobody can be told nothing. A caller of the endpoint reads why: its own limit or stop left no room for a word.
    if (this.#text.trim() === "" && !toolCalls && !job.chat)
      throw new JetclawError("model.unavailable", "the answer is empty");
    return {
      text: this.#text,
      citations: citationsOf(this.#text, job.passages),
      ...(toolCalls ? { toolCalls } : {}),
      ...(this.#refusal === "" ? {} : { refusal: this.#refusal }),
      usage: this.#usage ?? estimateUsage(job, this.#text),
      finish: this.#finish,
    };
  }

  #add(content: string): void {
    const fits = content.slice(0, ANSWER_CHARS - this.#text.length);
    this.#text += fits;
    if (fits !== "") this.#onText(fits);
    if (fits.length === content.length) return;
    this.#full = true;
    this.#finish = "length";
  }
}

const garbage = (): JetclawError =>
  new JetclawError("model.unavailable", "the stream holds something else than chunks");

/** An estimate, not a count: characters divided by four. Used only where the provider gives no usage. */
export function estimateUsage(job: Job, text: string): Usage {
  const input = job.messages.reduce((sum, { content }) => sum + content.length, 0);
  return {
    inputTokens: Math.ceil(input / CHARS_PER_TOKEN),
    outputTokens: Math.ceil(text.length / CHARS_PER_TOKEN),
  };
}

/** Undefined unless both counts are whole numbers: half a count is no count. */
export function usageOf(said: unknown): Usage | undefined {
  const usage = said as ChatCompletionChunk["usage"];
  const input: unknown = usage?.prompt_tokens;
  const output: unknown = usage?.completion_tokens;
  if (!isCount(input) || !isCount(output)) return undefined;
  const cached: unknown = usage?.prompt_tokens_details?.cached_tokens;
  return {
    inputTokens: input,
    outputTokens: output,
    ...(isCount(cached) ? { cachedInputTokens: cached } : {}),
  };
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
