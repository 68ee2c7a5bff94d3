/** Reads the chunks of a streamed chat completion into one answer, and trusts none of them. */
import type { ChatCompletionChunk } from "openai/resources/chat/completions";
import { JetclawError } from "#contracts/errors.ts";
import type { Job } from "#contracts/job.ts";
import type { Usage } from "#contracts/usage.ts";
import { ModelFailure } from "../failure.ts";
import type { ModelAnswer, ModelRun } from "../port.ts";
import { citationsOf } from "./citations.ts";
import { ToolCallReader } from "./tool-calls.ts";

/** An answer longer than this is cut off: it would not fit the envelope of its result. */
const ANSWER_CHARS = 200_000;
/** Rough size of a token where the provider counts none; English prose has 4 to 5 characters a token. */
const CHARS_PER_TOKEN = 4;
/** Reasons of a server that gave up in mid-answer: `abort` of vLLM, the long one of DeepSeek, `error` of routers. */
const BROKEN_OFF = /^(error|abort(ed)?|insufficient_system_resource)$/i;
/** Reasons of an answer that lacks its end, whoever limits it. */
const CUT_OFF = /^(length|model_length|max_tokens|max_output_tokens|content_filter\b.*)$/i;

export class AnswerReader {
  readonly #run: Pick<ModelRun, "onText" | "onSpent">;
  readonly #tools = new ToolCallReader();
  #text = "";
  #refusal = "";
  #finish: "stop" | "length" | undefined;
  #usage: Usage | undefined;
  #begun = false;
  #goesOn = false;
  #full = false;

  constructor(run: Pick<ModelRun, "onText" | "onSpent">) {
    this.#run = run;
  }

  /** The model is at work on its answer, be it that it thinks. */
  get begun(): boolean {
    return this.#begun;
  }

  /** The server gave a finish reason: what follows is at most the usage. */
  get finished(): boolean {
    return this.#finish !== undefined && !this.#goesOn;
  }

  /** The answer reached its limit: nothing more is read. */
  get full(): boolean {
    return this.#full;
  }

  /** @throws JetclawError `model.unavailable` for what is no chunk, `model.rejected` for a filtered answer */
  read(chunk: ChatCompletionChunk): void {
    this.#usage = usageOf(chunk.usage) ?? this.#usage;
    const choice = Array.isArray(chunk.choices) ? chunk.choices[0] : undefined;
    if (!choice || this.#full) return;
    const { delta, finish_reason: reason } = choice;
    this.#begun ||= isWord(delta);
    const text = textOf(delta?.content);
    // Some servers give a finish reason with each chunk: it says nothing there, only the end of the stream does.
    this.#goesOn ||= this.#finish !== undefined && (text !== "" || !!delta?.tool_calls?.length);
    this.#add(text);
    const refusal: unknown = delta?.refusal;
    if (typeof refusal === "string") this.#refusal = (this.#refusal + refusal).slice(0, ANSWER_CHARS);
    this.#tools.read(delta?.tool_calls);
    if (reason && !this.#full) this.#end(String(reason));
  }

  /**
   * @param counted what it used, where that is known from elsewhere
   * @throws JetclawError `model.unavailable` when the stream ended before the answer did
   */
  answer(job: Job, counted = this.#usage): ModelAnswer {
    if (this.#finish === undefined)
      throw new JetclawError("model.unavailable", "the stream ended before the answer did");
    const usage = counted ?? estimateUsage(job, this.#text);
    const toolCalls = this.#tools.calls();
    // Nobody can be told nothing. A caller of the endpoint reads why: its own limit or stop left no room for a word.
    if (this.#text.trim() === "" && !toolCalls && !job.chat) {
      this.#run.onSpent?.(usage);
      if (this.#finish === "length")
        throw new ModelFailure("spent", "the limit of tokens was used up before the first word");
      throw new JetclawError("model.unavailable", "the answer is empty");
    }
    return {
      text: this.#text,
      citations: citationsOf(this.#text, job.passages),
      ...(toolCalls ? { toolCalls } : {}),
      ...(this.#refusal === "" ? {} : { refusal: this.#refusal }),
      usage,
      finish: this.#finish,
    };
  }

  #end(reason: string): void {
    if (BROKEN_OFF.test(reason)) throw new JetclawError("model.unavailable", "the server gave the answer up");
    if (reason.startsWith("content_filter") && this.#text === "")
      throw new JetclawError("model.rejected", "the provider filtered the answer");
    this.#finish = CUT_OFF.test(reason) ? "length" : "stop";
  }

  #add(content: string): void {
    const fits = content.slice(0, ANSWER_CHARS - this.#text.length);
    this.#text += fits;
    if (fits !== "") this.#run.onText(fits);
    if (fits.length === content.length) return;
    this.#full = true;
    this.#finish = "length";
  }
}

const garbage = (): JetclawError =>
  new JetclawError("model.unavailable", "the stream holds something else than chunks");

/** Anything of a model, also its thoughts; a role, an empty text and annotations are none. */
const isWord = (delta: object | null | undefined): boolean =>
  Object.entries(delta ?? {}).some(
    ([name, value]) => name !== "role" && (Array.isArray(value) ? value.length > 0 : !!value),
  );

/** Text, or parts of which some are text: a model that thinks aloud sends its thoughts as others. */
function textOf(content: unknown): string {
  if (content === undefined || content === null) return "";
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) throw garbage();
  return content
    .map((part: { type?: unknown; text?: unknown } | null) =>
      part?.type === "text" && typeof part.text === "string" ? part.text : "",
    )
    .join("");
}

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
  const total: unknown = usage?.total_tokens;
  // Thoughts are paid for as output. Google and xAI count them in the total alone.
  const rest = isCount(total) ? total - input - (isCount(cached) && cached > input ? cached : 0) : 0;
  return {
    inputTokens: input,
    outputTokens: Math.max(output, rest),
    ...(isCount(cached) ? { cachedInputTokens: cached } : {}),
  };
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
