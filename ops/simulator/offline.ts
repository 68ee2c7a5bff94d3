/**
 * `/v1/files` and `/v1/batches`: files of requests that are answered later, at half the price. A batch takes as long as it is
 * told to and has one fate of its own; each of its requests that is answered has a line on the bill.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { answerTo, countTokens, tokensOf } from "./answer.ts";
import type { Bill, BillLine } from "./bill.ts";
import { type ChatBody, close, held, messagesOf, newLine, pause, usageOf } from "./chat.ts";
import { chance, type SimulatorOptions } from "./options.ts";
import { readBody, refuse, sendJson } from "./respond.ts";

export interface OfflineBatch {
  readonly id: string;
  readonly object: "batch";
  readonly endpoint: unknown;
  readonly input_file_id: string;
  readonly completion_window: unknown;
  readonly metadata: unknown;
  readonly created_at: number;
  status: "in_progress" | "completed" | "failed" | "expired" | "cancelled";
  output_file_id?: string;
  error_file_id?: string;
  errors?: { readonly object: "list"; readonly data: readonly object[] };
}

interface Line {
  readonly custom_id?: unknown;
  readonly body?: ChatBody;
}

/** Half of what a request costs when somebody waits for it. */
const SHARE = 0.5;
const FILE_BYTES = 256 * 1024 * 1024;
const PAGE = 20;

export class OfflineBatches {
  readonly #bill: Bill;
  readonly #files = new Map<string, string>();
  readonly #batches = new Map<string, OfflineBatch>();
  readonly #lines = new Map<string, readonly BillLine[]>();
  #made = 0;

  constructor(bill: Bill) {
    this.#bill = bill;
  }

  /** Ids of the files that are stored. */
  get files(): readonly string[] {
    return [...this.#files.keys()];
  }

  get batches(): readonly OfflineBatch[] {
    return [...this.#batches.values()];
  }

  /** False for a route that is none of its own. */
  async answer(
    options: SimulatorOptions,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<boolean> {
    const url = new URL(request.url ?? "/", "http://simulator");
    const [, , kind, id, action] = url.pathname.split("/");
    if (kind !== "files" && kind !== "batches") return false;
    const route = `${request.method} ${kind}${id ? "/id" : ""}${action ? `/${action}` : ""}`;
    const batch = kind === "batches" ? this.#batches.get(id ?? "") : undefined;
    if (id && !batch && !this.#files.has(id)) refuse(response, 404, `there is no ${id}`);
    else if (route === "POST files") await this.#store(request, response);
    else if (route === "GET files/id/content") response.end(this.#files.get(id ?? ""));
    else if (route === "DELETE files/id" && options.filesKept) refuse(response, 500, "a simulated error");
    else if (route === "DELETE files/id") {
      this.#files.delete(id ?? "");
      sendJson(response, 200, { id, object: "file", deleted: true });
    } else if (route === "POST batches") await this.#begin(options, request, response);
    else if (route === "GET batches") this.#list(url.searchParams, response);
    else if (route === "GET batches/id") sendJson(response, 200, batch);
    else if (route === "POST batches/id/cancel" && batch) this.#cancel(batch, response);
    else refuse(response, 404, `no route ${route}`);
    return true;
  }

  #keep(text: string): string {
    const id = `file-${++this.#made}`;
    this.#files.set(id, text);
    return id;
  }

  async #store(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const bytes = await readBody(request, FILE_BYTES);
    const type = request.headers["content-type"] ?? "";
    const form =
      bytes &&
      (await new Response(bytes, { headers: { "content-type": type } }).formData().catch(() => undefined));
    const file = form?.get("file");
    if (form?.get("purpose") !== "batch" || !(file instanceof Blob))
      return refuse(response, 400, "a form with a file and the purpose batch is needed");
    sendJson(response, 200, { id: this.#keep(await file.text()), object: "file", purpose: "batch" });
  }

  async #begin(options: SimulatorOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = jsonOf((await readBody(request, FILE_BYTES))?.toString("utf8") ?? "");
    const file = this.#files.get(String(body.input_file_id));
    if (file === undefined) return refuse(response, 400, "there is no such input file");
    if (body.completion_window !== "24h") return refuse(response, 400, "completion_window must be 24h");
    const n = ++this.#made;
    const batch: OfflineBatch = {
      id: `batch-${n}`,
      object: "batch",
      endpoint: body.endpoint,
      input_file_id: String(body.input_file_id),
      completion_window: body.completion_window,
      metadata: body.metadata ?? null,
      created_at: Math.floor(Date.now() / 1_000),
      status: "in_progress",
    };
    this.#batches.set(batch.id, batch);
    const texts = file.split("\n").filter((text) => text.trim() !== "");
    const lines = texts.map((text) => jsonOf(text) as Line);
    this.#lines.set(
      batch.id,
      lines.map((line) => this.#lineOf(line, n, lines.length)),
    );
    if (this.#tokensWaiting() > options.batchTokens)
      this.#fail(batch, {
        code: "token_limit_exceeded",
        message: "Enqueued token limit reached",
        line: null,
      });
    setTimeout(() => this.#finish(batch, lines, options, n), options.batchMs).unref();
    // The batch is there, and the answer that names it on its way: what dies now has sent it all the same.
    await held(response, options);
    await pause(response, options.ttftMs);
    sendJson(response, 200, batch);
  }

  #lineOf({ custom_id: id, body = {} }: Line, n: number, size: number): BillLine {
    const headers = { "x-jetclaw-job": String(id) };
    const tokens = countTokens(messagesOf(body.messages) ?? []);
    const line = newLine({ headers }, n, String(body.model), body, tokens);
    return this.#bill.add({ ...line, batch: size, priceShare: SHARE });
  }

  #tokensWaiting(): number {
    const waiting = this.batches.filter(({ status }) => status === "in_progress");
    return waiting
      .flatMap(({ id }) => this.#lines.get(id) ?? [])
      .reduce((sum, { inputTokens }) => sum + inputTokens, 0);
  }

  #fail(batch: OfflineBatch, error: object): void {
    for (const line of this.#lines.get(batch.id) ?? []) close(line, "error");
    batch.errors = { object: "list", data: [error] };
    batch.status = "failed";
  }

  #finish(batch: OfflineBatch, lines: readonly Line[], options: SimulatorOptions, n: number): void {
    if (batch.status !== "in_progress") return;
    const billed = this.#lines.get(batch.id) ?? [];
    const draw = chance(options.seed, n);
    if (draw < options.batchFailRate) {
      return this.#fail(batch, { code: "invalid_request", message: "a simulated failure" });
    }
    const expires = draw < options.batchFailRate + options.batchExpireRate;
    const answered: object[] = [];
    const failed: object[] = [];
    for (const [at, { custom_id: id, body = {} }] of lines.entries()) {
      const line = billed[at] as BillLine;
      const wrong = expires && at >= lines.length / 2 ? "expired" : wrongWith(body, options);
      close(line, wrong === undefined ? "finished" : "error");
      if (wrong === undefined) answered.push({ custom_id: id, response: completionOf(line, body, options) });
      else if (wrong === "expired") failed.push({ custom_id: id, error: { code: "batch_expired" } });
      else
        failed.push({ custom_id: id, response: { status_code: 400, body: { error: { message: wrong } } } });
    }
    if (answered.length > 0)
      batch.output_file_id = this.#keep(answered.map((each) => JSON.stringify(each)).join("\n"));
    if (failed.length > 0)
      batch.error_file_id = this.#keep(failed.map((each) => JSON.stringify(each)).join("\n"));
    batch.status = expires ? "expired" : "completed";
  }

  /** Newest first, as the API it imitates. */
  #list(query: URLSearchParams, response: ServerResponse): void {
    const all = [...this.#batches.values()].reverse();
    const from = all.findIndex(({ id }) => id === query.get("after")) + 1;
    const data = all.slice(from, from + Number(query.get("limit") ?? PAGE));
    sendJson(response, 200, { object: "list", data, has_more: from + data.length < all.length });
  }

  #cancel(batch: OfflineBatch, response: ServerResponse): void {
    if (batch.status !== "in_progress") return refuse(response, 409, `the batch is ${batch.status}`);
    batch.status = "cancelled";
    for (const line of this.#lines.get(batch.id) ?? []) close(line, "aborted");
    sendJson(response, 200, batch);
  }
}

function jsonOf(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}

function wrongWith(body: ChatBody, { contextTokens }: SimulatorOptions): string | undefined {
  const messages = messagesOf(body.messages);
  if (!messages) return "messages must be a list of messages with text";
  if (body.stream) return "a batch is not streamed";
  return countTokens(messages) > contextTokens ? `the context holds ${contextTokens} tokens` : undefined;
}

function completionOf(line: BillLine, body: ChatBody, options: SimulatorOptions): object {
  const messages = messagesOf(body.messages) ?? [];
  const all = tokensOf(answerTo(messages, line.model, options));
  const limit = Number(body.max_completion_tokens ?? body.max_tokens ?? all.length);
  const tokens = all.slice(0, Math.max(1, limit));
  line.outputTokens = tokens.length;
  const choice = {
    index: 0,
    message: { role: "assistant", content: tokens.join("") },
    finish_reason: tokens.length < all.length ? "length" : "stop",
  };
  return {
    status_code: 200,
    body: {
      id: line.id,
      object: "chat.completion",
      model: line.model,
      choices: [choice],
      usage: usageOf(line),
    },
  };
}
