/** Answers in OpenAI's shapes, written by hand: what is the same in every chunk is encoded once. */
import type { JobResult } from "#contracts/job.ts";

export const completionId = (id: string): string => `chatcmpl-${id}`;

function usageOf({ usage: { inputTokens, outputTokens, cachedInputTokens } }: JobResult) {
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
    ...(cachedInputTokens === undefined
      ? {}
      : { prompt_tokens_details: { cached_tokens: cachedInputTokens } }),
  };
}

function finishOf({ finish, toolCalls }: JobResult): "stop" | "length" | "tool_calls" {
  if (finish === "length") return "length";
  return toolCalls?.length ? "tool_calls" : "stop";
}

const callsOf = ({ toolCalls = [] }: JobResult) =>
  toolCalls.map(({ id, name, arguments: text }) => ({
    id,
    type: "function",
    function: { name, arguments: text },
  }));

export function completionOf(id: string, createdSeconds: number, result: JobResult): string {
  const { text, toolCalls, refusal = null } = result;
  return JSON.stringify({
    id: completionId(id),
    object: "chat.completion",
    created: createdSeconds,
    model: result.model,
    choices: [
      {
        index: 0,
        message: {
          role: "assistant",
          content: text === "" && (toolCalls?.length || refusal) ? null : text,
          refusal,
          ...(toolCalls?.length ? { tool_calls: callsOf(result) } : {}),
        },
        logprobs: null,
        finish_reason: finishOf(result),
      },
    ],
    usage: usageOf(result),
  });
}

/** The chunks of one stream. */
export class ChunkWriter {
  readonly #head: string;
  readonly #nullUsage: string;

  /** `model` is what was asked for: which one answers is not known before its first word. */
  constructor(id: string, createdSeconds: number, model: string, includeUsage: boolean) {
    this.#head = `{"id":"${completionId(id)}","object":"chat.completion.chunk","created":${createdSeconds},"model":${JSON.stringify(model)},"choices":[`;
    // With usage asked for, OpenAI says null in every chunk but the last.
    this.#nullUsage = includeUsage ? ',"usage":null' : "";
  }

  #chunk(delta: string, finish: string): string {
    return `${this.#head}{"index":0,"delta":${delta},"logprobs":null,"finish_reason":${finish}}]${this.#nullUsage}}`;
  }

  role(): string {
    return this.#chunk('{"role":"assistant","content":"","refusal":null}', "null");
  }

  text(text: string): string {
    return this.#chunk(`{"content":${JSON.stringify(text)}}`, "null");
  }

  /** Tool calls, a refusal and the reason of the end. */
  end(result: JobResult): string[] {
    const refusal = result.refusal ? [this.#chunk(JSON.stringify({ refusal: result.refusal }), "null")] : [];
    const calls = callsOf(result).map((call, index) =>
      this.#chunk(JSON.stringify({ tool_calls: [{ index, ...call }] }), "null"),
    );
    return [...calls, ...refusal, this.#chunk("{}", `"${finishOf(result)}"`)];
  }

  usage(result: JobResult): string {
    return `${this.#head}],"usage":${JSON.stringify(usageOf(result))}}`;
  }
}
