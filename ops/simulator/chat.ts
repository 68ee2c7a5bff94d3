/** `POST /v1/chat/completions`: one request from its fate to its line on the bill. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { answerTo, type ChatMessage, countTokens, tokensOf } from "./answer.ts";
import type { Bill, BillLine } from "./bill.ts";
import { type Fate, fateOf, type SimulatorOptions } from "./options.ts";
import type { PrefixCache } from "./prefix-cache.ts";
import { refuse, sendJson } from "./respond.ts";
import type { Turnstile } from "./turnstile.ts";

export interface ChatBody {
  readonly model?: unknown;
  readonly messages?: unknown;
  readonly stream?: unknown;
  readonly stream_options?: { readonly include_usage?: unknown } | null;
  readonly max_tokens?: unknown;
  readonly max_completion_tokens?: unknown;
  readonly user?: unknown;
}

export interface ChatContext {
  readonly options: SimulatorOptions;
  readonly bill: Bill;
  readonly turnstile: Turnstile;
  /** What this server has read before; used where the options ask for it. */
  readonly prefixes: PrefixCache;
  /** Number of this request, from 0. */
  readonly n: number;
}

interface Exchange {
  readonly response: ServerResponse;
  readonly line: BillLine;
  readonly model: string;
  readonly tokens: readonly string[];
  readonly cut: boolean;
  readonly usage: boolean;
  /** Time to read what the server does not remember. */
  readonly prefillMs: number;
  /** The prompt is read, and after the answer that too: remembered from now on. */
  readonly remember: (reply?: string) => void;
}

export async function chat(
  context: ChatContext,
  request: IncomingMessage,
  response: ServerResponse,
  body: ChatBody,
): Promise<void> {
  const { options, bill, turnstile, n } = context;
  const { model } = body;
  const messages = messagesOf(body.messages);
  if (!messages) return refuse(response, 400, "messages must be a list of messages with text");
  if (options.refuseStreamOptions && body.stream_options)
    return refuse(response, 400, "unknown field: stream_options");
  if (countTokens(messages) > options.contextTokens)
    return refuse(response, 400, `the context holds ${options.contextTokens} tokens`);
  const name = typeof model === "string" ? model : "simulated";
  const line = bill.add(newLine(request, n, name, body, countTokens(messages)));
  response.on("close", () => close(line, "aborted"));
  await turnstile.enter(options.concurrency);
  try {
    if (line.outcome !== "open") return;
    const all = tokensOf(answerTo(messages, name, options));
    const limit = Math.max(
      1,
      Number(body.max_completion_tokens ?? body.max_tokens ?? all.length) || all.length,
    );
    const tokens = all.slice(0, limit);
    const usage = body.stream_options?.include_usage === true;
    const prefill = prefillOf(context, name, messages, line);
    await meet(fateOf(options, n), options, {
      response,
      line,
      model: name,
      tokens,
      cut: tokens.length < all.length,
      usage,
      ...prefill,
    });
  } finally {
    turnstile.leave();
  }
}

function prefillOf(
  { options, prefixes }: ChatContext,
  model: string,
  messages: readonly ChatMessage[],
  line: BillLine,
): Pick<Exchange, "prefillMs" | "remember"> {
  const { prefixCache, prefillMsPer1kTokens } = options;
  const cached = prefixCache > 0 ? prefixes.cachedMessages(model, messages) : 0;
  if (prefixCache > 0) line.cachedTokens = countTokens(messages.slice(0, cached));
  return {
    prefillMs: (countTokens(messages.slice(cached)) / 1_000) * prefillMsPer1kTokens,
    remember(reply) {
      if (prefixCache === 0) return;
      const read = reply === undefined ? messages : [...messages, { role: "assistant", content: reply }];
      prefixes.remember(model, read, prefixCache);
    },
  };
}

async function meet(fate: Fate, options: SimulatorOptions, exchange: Exchange): Promise<void> {
  const { response, line } = exchange;
  switch (fate) {
    case "error":
      close(line, "error");
      if (options.retryAfter !== undefined) response.setHeader("retry-after", String(options.retryAfter));
      return refuse(response, options.status, "a simulated error");
    case "hang":
      return closed(response);
    case "garbage":
      close(line, "error");
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.end("data: {this is not JSON\n\ndata: <html>\n\n");
      return;
    case "half-stream":
    case "answer":
      await held(response, options);
      await pause(response, options.ttftMs + exchange.prefillMs);
      if (line.outcome !== "open") return;
      exchange.remember();
      if (line.stream) return await stream(exchange, options, fate === "half-stream");
      return await whole(exchange, options.tokensPerSecond, fate === "half-stream");
  }
}

async function whole(exchange: Exchange, perSecond: number, half: boolean): Promise<void> {
  const { response, line, model, tokens, cut } = exchange;
  if (perSecond > 0) await pause(response, (tokens.length / perSecond) * 1_000);
  if (line.outcome !== "open") return;
  if (half) {
    close(line, "error");
    response.destroy();
    return;
  }
  line.outputTokens = tokens.length;
  close(line, "finished");
  exchange.remember(tokens.join(""));
  sendJson(response, 200, {
    id: line.id,
    object: "chat.completion",
    created: Math.floor(line.at / 1_000),
    model,
    choices: [
      {
        index: 0,
        message: { role: "assistant", content: tokens.join("") },
        finish_reason: cut ? "length" : "stop",
      },
    ],
    usage: usageOf(line),
  });
}

async function stream(
  exchange: Exchange,
  { tokensPerSecond: perSecond, paceMs }: SimulatorOptions,
  half: boolean,
): Promise<void> {
  const { response, line, tokens, cut, usage } = exchange;
  const end = half ? Math.floor(tokens.length / 2) : tokens.length;
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  let text = eventOf(exchange, { choices: [choice({ role: "assistant", content: "" }, null)] });
  // Hundreds of events differ in nothing but their token: what surrounds it is encoded once.
  const [before = "", after = ""] = eventOf(exchange, { choices: [choice({ content: MARK }, null)] }).split(
    `"${MARK}"`,
  );
  const startedAt = performance.now();
  for (let sent = 0; sent < end; ) {
    const due =
      perSecond > 0
        ? Math.min(end, 1 + Math.floor(((performance.now() - startedAt) / 1_000) * perSecond))
        : end;
    for (; sent < due; sent++) text += before + JSON.stringify(tokens[sent]) + after;
    line.outputTokens = sent;
    if (sent < end) {
      response.write(text);
      text = "";
      await pause(response, Math.max(paceMs, 1_000 / perSecond));
      if (line.outcome !== "open") return;
    }
  }
  if (half) {
    close(line, "error");
    response.write(text, () => response.destroy());
    return;
  }
  text += eventOf(exchange, { choices: [choice({}, cut ? "length" : "stop")] });
  if (usage) text += eventOf(exchange, { choices: [], usage: usageOf(line) });
  close(line, "finished");
  exchange.remember(tokens.join(""));
  response.end(`${text}data: [DONE]\n\n`);
}

const MARK = "<token>";
const choice = (delta: object, reason: string | null) => ({ index: 0, delta, finish_reason: reason });

function eventOf({ line, model }: Exchange, rest: object): string {
  const event = {
    id: line.id,
    object: "chat.completion.chunk",
    created: Math.floor(line.at / 1_000),
    model,
    ...rest,
  };
  return `data: ${JSON.stringify(event)}\n\n`;
}

export const usageOf = ({
  inputTokens,
  outputTokens,
  cachedTokens,
}: Pick<BillLine, "inputTokens" | "outputTokens" | "cachedTokens">) => ({
  prompt_tokens: inputTokens,
  completion_tokens: outputTokens,
  total_tokens: inputTokens + outputTokens,
  ...(cachedTokens === undefined ? {} : { prompt_tokens_details: { cached_tokens: cachedTokens } }),
});

/** The first outcome counts: the socket also closes after a complete answer. */
export function close(line: BillLine, outcome: BillLine["outcome"]): void {
  if (line.outcome !== "open") return;
  line.outcome = outcome;
  line.endedAt = Date.now();
}

export function newLine(
  request: Pick<IncomingMessage, "headers">,
  n: number,
  model: string,
  body: ChatBody,
  inputTokens: number,
): BillLine {
  const header = (name: string): string | undefined => {
    const value = request.headers[name];
    return typeof value === "string" ? value : undefined;
  };
  const user = typeof body.user === "string" ? body.user : undefined;
  const attempt = Number(header("x-jetclaw-attempt"));
  return {
    n,
    id: `chatcmpl-${n}`,
    at: Date.now(),
    model,
    stream: body.stream === true,
    job: header("x-jetclaw-job") ?? header("idempotency-key") ?? header("x-request-id") ?? user,
    attempt: Number.isInteger(attempt) && attempt > 0 ? attempt : undefined,
    inputTokens,
    outputTokens: 0,
    outcome: "open",
    endedAt: undefined,
  };
}

/**
 * What was said, as text: parts are joined, and a message that only calls tools has none. Undefined for anything that
 * is no list of messages.
 */
export function messagesOf(given: unknown): ChatMessage[] | undefined {
  if (!Array.isArray(given)) return undefined;
  const messages: ChatMessage[] = [];
  for (const each of given as unknown[]) {
    if (typeof each !== "object" || each === null) return undefined;
    const { role, content, tool_calls: calls } = each as Record<string, unknown>;
    const text = content === null && Array.isArray(calls) ? "" : textOf(content);
    if (text === undefined) return undefined;
    messages.push({ role: String(role), content: text });
  }
  return messages;
}

function textOf(content: unknown): string | undefined {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return undefined;
  return content
    .map((part: { text?: unknown } | null) => (typeof part?.text === "string" ? part.text : ""))
    .join("");
}

/** Ends early when the client goes away. */
export function pause(response: ServerResponse, ms: number): Promise<void> | undefined {
  if (ms <= 0 || response.destroyed) return undefined;
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      response.off("close", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    response.once("close", done);
  });
}

/** Ends early when the client goes away, too. */
export function held(
  response: ServerResponse,
  { hold }: Pick<SimulatorOptions, "hold">,
): Promise<unknown> | undefined {
  return hold && Promise.race([hold, closed(response)]);
}

export function closed(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    if (response.destroyed) resolve();
    else response.once("close", () => resolve());
  });
}
