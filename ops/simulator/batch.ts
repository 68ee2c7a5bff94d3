/**
 * `POST /v1/chat/completions/batch` and `POST /v1/completions` with one or several prompts. A batch is one request with
 * one fate and one place in the turnstile; each of its items has a line on the bill.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { answerTo, type ChatMessage, countTokens, tokensOf } from "./answer.ts";
import type { BillLine } from "./bill.ts";
import { type ChatContext, close, closed, held, messagesOf, newLine, pause, usageOf } from "./chat.ts";
import { fateOf, type SimulatorOptions, stretchOf } from "./options.ts";
import { refuse, sendJson } from "./respond.ts";

export interface BatchBody {
  readonly model?: unknown;
  /** A list of conversations. */
  readonly messages?: unknown;
  /** A prompt, or a list of them. */
  readonly prompt?: unknown;
  readonly stream?: unknown;
  readonly stream_options?: {
    readonly include_usage?: unknown;
    readonly continuous_usage_stats?: unknown;
  } | null;
  readonly tools?: unknown;
  readonly n?: unknown;
  readonly max_tokens?: unknown;
  readonly max_completion_tokens?: unknown;
}

interface Item {
  readonly line: BillLine;
  readonly tokens: readonly string[];
  readonly cut: boolean;
}

interface Exchange {
  readonly response: ServerResponse;
  readonly items: readonly Item[];
  readonly model: string;
  readonly kind: "chat" | "text";
  readonly options: SimulatorOptions;
  readonly usage: { readonly total: boolean; readonly each: boolean };
}

/** What a completion stops after when it is not told otherwise, as in the API it imitates. */
const COMPLETION_TOKENS = 16;

export async function batch(
  context: ChatContext,
  kind: Exchange["kind"],
  request: IncomingMessage,
  response: ServerResponse,
  body: BatchBody,
): Promise<void> {
  const { options, bill, turnstile, n } = context;
  const given = kind === "chat" ? body.messages : conversationsOf(body.prompt);
  const conversations = Array.isArray(given) ? given.map(messagesOf) : [];
  const wrong = wrongWith(kind, body, conversations, options);
  if (wrong !== undefined) return refuse(response, 400, wrong);
  const model = typeof body.model === "string" ? body.model : "simulated";
  const limit = Number(
    body.max_completion_tokens ?? body.max_tokens ?? (kind === "text" ? COMPLETION_TOKENS : Infinity),
  );
  const items = (conversations as ChatMessage[][]).map((messages, index, all): Item => {
    const whole = tokensOf(answerTo(messages, model, options));
    const tokens = whole.slice(0, Math.max(1, limit || whole.length));
    const line = newLine(itemHeaders(request, index), n, model, {}, countTokens(messages));
    return {
      line: bill.add({ ...line, stream: body.stream === true, batch: all.length }),
      tokens,
      cut: tokens.length < whole.length,
    };
  });
  const closeAll = (outcome: BillLine["outcome"]): void => {
    for (const { line } of items) close(line, outcome);
  };
  response.on("close", () => closeAll("aborted"));
  await turnstile.enter(options.concurrency);
  try {
    if (response.destroyed) return;
    const usage = {
      total: body.stream_options?.include_usage === true,
      each: body.stream_options?.continuous_usage_stats === true,
    };
    await meet(
      fateOf(options, n),
      { response, items, model, kind, options, usage },
      closeAll,
      body.stream === true,
    );
  } finally {
    turnstile.leave();
  }
}

async function meet(
  fate: ReturnType<typeof fateOf>,
  exchange: Exchange,
  closeAll: (outcome: BillLine["outcome"]) => void,
  streamed: boolean,
): Promise<void> {
  const { response, options } = exchange;
  switch (fate) {
    case "error":
      closeAll("error");
      if (options.retryAfter !== undefined) response.setHeader("retry-after", String(options.retryAfter));
      return refuse(response, options.status, "a simulated error");
    case "hang":
      return closed(response);
    case "garbage":
      closeAll("error");
      response.writeHead(200, { "content-type": streamed ? "text/event-stream" : "application/json" });
      response.end("data: {this is not JSON\n\n");
      return;
    case "half-stream":
    case "answer": {
      await held(response, options);
      await pause(response, options.ttftMs * stretchOf(options, exchange.items.length));
      if (response.destroyed) return;
      const half = fate === "half-stream";
      if (streamed) return await stream(exchange, closeAll, half);
      return await whole(exchange, closeAll, half);
    }
  }
}

async function whole(
  { response, items, model, kind, options }: Exchange,
  closeAll: (outcome: BillLine["outcome"]) => void,
  half: boolean,
): Promise<void> {
  const longest = Math.max(...items.map(({ tokens }) => tokens.length));
  if (options.tokensPerSecond > 0)
    await pause(response, (longest / options.tokensPerSecond) * 1_000 * stretchOf(options, items.length));
  if (response.destroyed) return;
  if (half) {
    closeAll("error");
    response.destroy();
    return;
  }
  for (const { line, tokens } of items) line.outputTokens = tokens.length;
  closeAll("finished");
  sendJson(response, 200, {
    id: `batch-${items[0]?.line.n}`,
    object: kind === "chat" ? "chat.completion" : "text_completion",
    created: Math.floor(Date.now() / 1_000),
    model,
    choices: items.map(({ tokens, cut }, index) => ({
      index,
      ...(kind === "chat"
        ? { message: { role: "assistant", content: tokens.join("") } }
        : { text: ` ${tokens.join("")}` }),
      finish_reason: cut ? "length" : "stop",
    })),
    usage: totalOf(items),
  });
}

/** Tokens of all items in turn, each with its index: a batch is generated in steps that all of it shares. */
async function stream(
  exchange: Exchange,
  closeAll: (outcome: BillLine["outcome"]) => void,
  half: boolean,
): Promise<void> {
  const { response, items, model, options, usage } = exchange;
  const event = (rest: object): string =>
    `data: ${JSON.stringify({ id: `batch-${items[0]?.line.n}`, object: "text_completion", model, ...rest })}\n\n`;
  const longest = Math.max(...items.map(({ tokens }) => tokens.length));
  const end = half ? Math.floor(longest / 2) : longest;
  const perSecond = options.tokensPerSecond / stretchOf(options, items.length);
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  const startedAt = performance.now();
  for (let sent = 0; sent < end; ) {
    const elapsed = (performance.now() - startedAt) / 1_000;
    const due = perSecond > 0 ? Math.min(end, 1 + Math.floor(elapsed * perSecond)) : end;
    let text = "";
    // Tokens that are due together travel together, as they do from a server whose reader is slower than its model.
    for (const [index, { tokens, line, cut }] of items.entries()) {
      const piece = tokens.slice(sent, due).join("");
      if (piece === "") continue;
      line.outputTokens = Math.min(due, tokens.length);
      const last = due >= tokens.length;
      text += event({
        choices: [
          {
            index,
            text: sent === 0 ? ` ${piece}` : piece,
            finish_reason: last ? (cut ? "length" : "stop") : null,
          },
        ],
        ...(usage.each ? { usage: usageOf(line) } : {}),
      });
      if (last) close(line, "finished");
    }
    sent = due;
    response.write(text);
    if (sent < end) await pause(response, Math.max(options.paceMs, 1_000 / perSecond));
    if (response.destroyed) return;
  }
  if (half) {
    closeAll("error");
    return void response.destroy();
  }
  response.end(`${usage.total ? event({ choices: [], usage: totalOf(items) }) : ""}data: [DONE]\n\n`);
}

function wrongWith(
  kind: Exchange["kind"],
  body: BatchBody,
  conversations: readonly (ChatMessage[] | undefined)[],
  options: SimulatorOptions,
): string | undefined {
  if (conversations.length === 0)
    return kind === "chat"
      ? "messages must be a list of conversations"
      : "prompt must be a text or a list of texts";
  if (!conversations.every((each) => each !== undefined && each.length > 0))
    return "a conversation must be a list of messages with text";
  if (kind === "chat" && body.stream) return "batches of chats are not streamed";
  if (body.tools !== undefined) return "batches take no tools";
  if (body.n !== undefined && body.n !== 1) return "n must be 1";
  if (options.refuseStreamOptions && body.stream_options) return "unknown field: stream_options";
  if (conversations.some((each = []) => countTokens(each) > options.contextTokens))
    return `the context holds ${options.contextTokens} tokens`;
  return undefined;
}

/** A prompt's question is what stands after its last "User:", so that answers can be recognised. */
function conversationsOf(prompt: unknown): ChatMessage[][] | undefined {
  const prompts = typeof prompt === "string" ? [prompt] : prompt;
  if (!Array.isArray(prompts) || !prompts.every((each) => typeof each === "string")) return undefined;
  return prompts.map((text: string) => [
    { role: "user", content: (text.split(/^User: /m).at(-1) ?? text).replace(/\s*Assistant:$/, "") },
  ]);
}

/** A batch names the jobs of its items in one header. */
function itemHeaders(request: IncomingMessage, index: number): Pick<IncomingMessage, "headers"> {
  const of = (name: string): string | undefined => {
    const value = request.headers[name];
    return typeof value === "string" ? value.split(",")[index] : undefined;
  };
  const job = of("x-jetclaw-jobs");
  const attempt = of("x-jetclaw-attempts");
  return {
    headers: {
      ...(job === undefined ? {} : { "x-jetclaw-job": decodeURIComponent(job) }),
      ...(attempt === undefined ? {} : { "x-jetclaw-attempt": attempt }),
    },
  };
}

function totalOf(items: readonly Item[]): ReturnType<typeof usageOf> {
  const sum = (of: (line: BillLine) => number): number => items.reduce((all, { line }) => all + of(line), 0);
  return usageOf({ inputTokens: sum((l) => l.inputTokens), outputTokens: sum((l) => l.outputTokens) });
}
