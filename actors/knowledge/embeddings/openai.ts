/**
 * Embeddings of any server that speaks OpenAI's `/v1/embeddings`. The one file that knows how they are asked for. Each
 * client has a breaker of its own: what is slow for a question may be quick enough for a document.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Agent, type Dispatcher, request } from "undici";
import { JetclawError } from "#contracts/errors.ts";
import type { Breaker } from "#runtime/breaker.ts";
import { Gate } from "#runtime/gate.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import type { Embedder } from "../port.ts";
import { unitLength } from "./unit-length.ts";

export interface EmbeddingsOptions {
  /** `.../v1` */
  readonly baseUrl: string;
  readonly model: string;
  readonly apiKey?: string | undefined;
  /** Asked of the model where it can shorten its vectors, and held against what comes. Left out: the model's own. */
  readonly dimensions?: number | undefined;
  /** Texts of one request. */
  readonly batchTexts?: number | undefined;
  /** Patience with one request, its retries included. */
  readonly timeoutMs?: number | undefined;
  /** Requests that fail in passing are made again so often. */
  readonly retries?: number | undefined;
  /** How metrics call it. */
  readonly purpose: "question" | "document";
}

const BATCH_TEXTS = 32;
/** A request with fewer texts was taken, and for so long none with more is tried: how large texts are changes. */
const FEWER_MS = 600_000;
const TIMEOUT_MS = 30_000;
const CONNECT_MS = 3_000;
const RETRIES = 2;
const RETRY_FIRST_MS = 250;
const RETRY_MOST_MS = 5_000;
/** More than 2,048 vectors of 4,096 numbers in base64; what is larger is no answer to what we asked. */
const ANSWER_BYTES = 64 * 1024 * 1024;

export interface EmbeddingsClient extends Embedder {
  readonly breaker: Breaker["state"];
  close(): Promise<void>;
}

export function openaiEmbeddings(options: EmbeddingsOptions): EmbeddingsClient {
  return new OpenAiEmbeddings(options);
}

/** Worth another try: the server is busy, restarting or out of reach. */
class Passing extends Error {
  readonly afterMs: number | undefined;
  constructor(message: string, afterMs?: number, options?: ErrorOptions) {
    super(message, options);
    this.afterMs = afterMs;
  }
}

/** The request, by its texts or its bytes: half of it may be taken. */
class TooLarge extends JetclawError {}

class OpenAiEmbeddings implements EmbeddingsClient {
  readonly model: string;
  readonly #options: EmbeddingsOptions;
  readonly #baseUrl: string;
  readonly #url: string;
  readonly #agent = new Agent({ connect: { timeout: CONNECT_MS } });
  readonly #gate = new Gate(
    () => new JetclawError("embeddings.unavailable", "it failed a moment ago and is left alone"),
    verdictOf,
  );
  /** As configured, else of the last answer: a server may come to hold another model under the name. */
  #dimensions: number | undefined;
  /** A third of the bytes and no numbers to parse; a server that refuses it is asked for plain numbers from then on. */
  #encoding: "base64" | "float" = "base64";
  #fewer: { readonly texts: number; readonly until: number } | undefined;

  constructor(options: EmbeddingsOptions) {
    this.model = options.model;
    this.#options = options;
    this.#baseUrl = options.baseUrl.replace(/\/+$/, "");
    this.#url = `${this.#baseUrl}/embeddings`;
    this.#dimensions = options.dimensions;
  }

  get dimensions(): number | undefined {
    return this.#dimensions;
  }

  get breaker(): Breaker["state"] {
    return this.#gate.state;
  }

  /** The list of models is what costs nothing at a provider; a server that has none answers all the same. */
  async connect(): Promise<void> {
    try {
      const signal = AbortSignal.timeout(CONNECT_MS);
      const url = `${this.#baseUrl}/models`;
      const { body } = await request(url, {
        dispatcher: this.#agent,
        signal,
        headers: this.#authorization(),
      });
      await body.dump();
    } catch {
      // Whoever embeds hears of it.
    }
  }

  #authorization(): { authorization?: string } {
    const { apiKey } = this.#options;
    return apiKey ? { authorization: `Bearer ${apiKey}` } : {};
  }

  async embed(
    texts: readonly string[],
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<Float32Array[]> {
    const vectors: Float32Array[] = [];
    const before = this.#fewer;
    while (vectors.length < texts.length) {
      const some = texts.slice(vectors.length, vectors.length + this.#batchTexts());
      try {
        vectors.push(...(await this.#measured(some, signal)));
      } catch (error) {
        if (!(error instanceof TooLarge)) throw error;
        if (some.length === 1) {
          // It was this text alone that was too large, not that there were others.
          this.#fewer = before;
          throw error;
        }
        this.#fewer = { texts: some.length >> 1, until: performance.now() + FEWER_MS };
      }
    }
    return vectors;
  }

  #batchTexts(): number {
    const { batchTexts = BATCH_TEXTS } = this.#options;
    if (this.#fewer && performance.now() > this.#fewer.until) this.#fewer = undefined;
    return Math.min(batchTexts, this.#fewer?.texts ?? batchTexts);
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #measured(texts: readonly string[], signal: AbortSignal | undefined): Promise<Float32Array[]> {
    const { purpose } = this.#options;
    const began = performance.now();
    const count = (result: string): void => metrics.embeddings({ purpose, result });
    try {
      const vectors = await this.#gate.run(() => this.#patiently(texts, signal));
      metrics.embeddingMs(performance.now() - began, { purpose });
      count("ok");
      return vectors;
    } catch (error) {
      count(isTimeout(error) ? "timeout" : error instanceof JetclawError ? error.code : "stopped");
      throw error;
    }
  }

  /** @throws JetclawError as `embed`, or the reason of the caller's signal */
  async #patiently(texts: readonly string[], signal: AbortSignal | undefined): Promise<Float32Array[]> {
    const { timeoutMs = TIMEOUT_MS, retries = RETRIES } = this.#options;
    const own = AbortSignal.timeout(timeoutMs);
    const both = signal ? AbortSignal.any([signal, own]) : own;
    for (let tries = 0; ; tries++) {
      try {
        return await this.#ask(texts, both);
      } catch (error) {
        signal?.throwIfAborted();
        if (own.aborted) throw unavailable(`no answer in ${timeoutMs} ms`, error);
        if (!(error instanceof Passing)) throw error;
        if (tries >= retries) throw unavailable(error.message, error.cause);
        const pause = error.afterMs ?? RETRY_FIRST_MS * 2 ** tries * (0.5 + Math.random() / 2);
        if (pause > RETRY_MOST_MS) throw unavailable(error.message, error.cause);
        await sleep(pause, undefined, { signal: both }).catch(() => {});
      }
    }
  }

  async #ask(
    texts: readonly string[],
    signal: AbortSignal,
    encoding = this.#encoding,
  ): Promise<Float32Array[]> {
    const { dimensions } = this.#options;
    let response: Dispatcher.ResponseData;
    let body: string;
    try {
      response = await request(this.#url, {
        method: "POST",
        dispatcher: this.#agent,
        signal,
        headers: { "content-type": "application/json", ...this.#authorization() },
        body: JSON.stringify({
          model: this.model,
          input: texts,
          encoding_format: encoding,
          ...(dimensions === undefined ? {} : { dimensions }),
        }),
      });
      body = await textOf(response);
    } catch (cause) {
      if (cause instanceof JetclawError) throw cause;
      throw new Passing(`no connection (${codeOf(cause)})`, undefined, { cause });
    }
    const { statusCode, headers } = response;
    if (statusCode === 200) return this.#read(body, texts.length);
    if (statusCode === 429 || statusCode === 408 || statusCode >= 500)
      throw new Passing(`HTTP ${statusCode}`, retryAfterMs(headers["retry-after"]));
    if ((statusCode === 400 || statusCode === 422) && encoding === "base64") {
      const vectors = await this.#ask(texts, signal, "float");
      // Known by what it takes: a text may be refused whatever it is asked for as.
      this.#encoding = "float";
      return vectors;
    }
    if (statusCode === 413)
      throw new TooLarge("embeddings.rejected", `HTTP 413 from ${this.#url} for ${texts.length} texts`);
    // Neither the server's words nor the texts: both would travel to logs.
    throw rejected(`HTTP ${statusCode} from ${this.#url}`);
  }

  #read(body: string, count: number): Float32Array[] {
    const { data } = parse(body);
    if (!Array.isArray(data) || data.length !== count) throw rejected(`not ${count} vectors`);
    const vectors: Float32Array[] = new Array(count);
    let expected = this.#options.dimensions;
    for (const [n, each] of data.entries()) {
      const { index = n, embedding } = (each ?? {}) as { index?: unknown; embedding?: unknown };
      const at = Number(index);
      const vector = unitLength(numbersOf(embedding));
      if (!vector || !(at in data)) throw rejected("a vector that is none");
      expected ??= vector.length;
      if (vector.length !== expected)
        throw new JetclawError(
          "vectors.dimension",
          `${this.model} gives ${vector.length} numbers a vector, not ${expected} as configured or as in the same answer`,
        );
      vectors[at] = vector;
    }
    if (vectors.includes(undefined as never)) throw rejected("the same vector twice");
    this.#dimensions = expected;
    return vectors;
  }
}

function numbersOf(embedding: unknown): Float32Array | undefined {
  if (Array.isArray(embedding)) return Float32Array.from(embedding as number[]);
  if (typeof embedding !== "string") return undefined;
  const bytes = Buffer.from(embedding, "base64");
  if (bytes.length === 0 || bytes.length % 4 !== 0) return undefined;
  // A copy: pieces of Node's pool do not begin at multiples of four.
  return new Float32Array(new Uint8Array(bytes).buffer);
}

async function textOf({ body, headers }: Dispatcher.ResponseData): Promise<string> {
  if (Number(headers["content-length"] ?? 0) > ANSWER_BYTES) {
    body.destroy();
    throw rejected("an answer larger than any batch");
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES) throw rejected("an answer larger than any batch");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parse(body: string): { data?: unknown } {
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed === "object" && parsed !== null) return parsed;
  } catch {
    // Told below, without its text.
  }
  throw rejected("not JSON");
}

function retryAfterMs(value: string | string[] | undefined): number | undefined {
  const text = [value].flat()[0];
  if (text === undefined) return undefined;
  const ms = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

const unavailable = (detail: string, cause: unknown): JetclawError =>
  new JetclawError("embeddings.unavailable", detail, { cause });
const rejected = (detail: string): JetclawError => new JetclawError("embeddings.rejected", detail);

const isTimeout = (error: unknown): boolean => error instanceof Error && error.name === "TimeoutError";

/** A caller whose time was up says that the model is slow; one who left, or a text that is refused, says nothing. */
function verdictOf(error: unknown): "failed" | "neither" {
  const away = error instanceof JetclawError && error.code === "embeddings.unavailable";
  return away || isTimeout(error) ? "failed" : "neither";
}

function codeOf(cause: unknown): string {
  const { code, name } = cause as { code?: unknown; name?: unknown };
  return typeof code === "string" ? code : String(name);
}
