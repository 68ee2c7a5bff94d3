/**
 * An OpenAI-compatible model server that costs nothing and fails on request. It is outside the product: what it saw is
 * evidence in fault tests, its bill names every request that a provider would have charged for.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { batch } from "./batch.ts";
import { Bill, type BillLine } from "./bill.ts";
import { type ChatBody, chat } from "./chat.ts";
import { DIMENSIONS, embed, encodeVector } from "./embedding.ts";
import { type OfflineBatch, OfflineBatches } from "./offline.ts";
import { DEFAULTS, type SimulatorOptions } from "./options.ts";
import { PrefixCache } from "./prefix-cache.ts";
import { readBody, refuse, sendJson } from "./respond.ts";
import { Turnstile } from "./turnstile.ts";

export interface Simulator {
  /** `http://127.0.0.1:8000`; the API is below `/v1`. */
  readonly url: string;
  /** What `OPENAI_BASE_URL` takes. */
  readonly baseUrl: string;
  bill(): readonly BillLine[];
  clearBill(): void;
  /** Batches of the batch API, oldest first. */
  batches(): readonly OfflineBatch[];
  /** Ids of the files that are stored for batches. */
  files(): readonly string[];
  /** Changes what happens to requests from now on. */
  set(change: Partial<SimulatorOptions>): void;
  /** Ends open requests and closes. */
  close(): Promise<void>;
  /** The same, under the name that roles use. */
  stop(): Promise<void>;
}

const BATCH = "POST /v1/chat/completions/batch";
const COMPLETIONS = "POST /v1/completions";
const ROUTES = new Set(["POST /v1/chat/completions", BATCH, COMPLETIONS, "POST /v1/embeddings"]);
const BODY_BYTES = 16 * 1024 * 1024;

export async function startSimulator(options: Partial<SimulatorOptions> = {}): Promise<Simulator> {
  let current: SimulatorOptions = { ...DEFAULTS, ...options };
  const bill = new Bill();
  const turnstile = new Turnstile();
  const prefixes = new PrefixCache();
  const offline = new OfflineBatches(bill);
  let requests = 0;

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = (request.url ?? "/").split("?")[0];
    const route = `${request.method} ${path}`;
    if (route === "GET /v1/models")
      return sendJson(response, 200, {
        object: "list",
        data: current.models.map((id) => ({ id, object: "model", created: 0, owned_by: "simulator" })),
      });
    if (route === "GET /bill")
      return sendJson(response, 200, { requests: bill.lines, dropped: bill.dropped });
    if (route === "DELETE /bill") {
      bill.clear();
      return sendJson(response, 200, { requests: [], dropped: 0 });
    }
    if (current.batchApi && (await offline.answer(current, request, response))) return;
    if (!ROUTES.has(route)) return refuse(response, 404, `no route ${route}`);
    const body = await readJson(request);
    if (body === undefined) return refuse(response, 400, "the body is not JSON, or too large");
    if (route === "POST /v1/embeddings") return embeddings(response, body);
    const context = { options: current, bill, turnstile, prefixes, n: requests++ };
    if (route === BATCH) return batch(context, "chat", request, response, body);
    if (route === COMPLETIONS) return batch(context, "text", request, response, body);
    return chat(context, request, response, body as ChatBody);
  };

  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(current.port, current.host, resolve);
  });
  const host = current.host.includes(":") ? `[${current.host}]` : current.host;
  const url = `http://${host}:${(server.address() as AddressInfo).port}`;
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return {
    url,
    baseUrl: `${url}/v1`,
    bill: () => bill.lines,
    clearBill: () => bill.clear(),
    batches: () => offline.batches,
    files: () => offline.files,
    set: (change) => {
      current = { ...current, ...change };
    },
    close,
    stop: close,
  };
}

function embeddings(response: ServerResponse, body: object): void {
  const { input, model, dimensions, encoding_format: format } = body as Record<string, unknown>;
  const texts = typeof input === "string" ? [input] : input;
  if (!Array.isArray(texts) || texts.length === 0 || !texts.every((text) => typeof text === "string")) {
    refuse(response, 400, "input must be a text or a list of texts");
    return;
  }
  const size =
    Number.isInteger(dimensions) && (dimensions as number) > 0 && (dimensions as number) <= 4_096
      ? (dimensions as number)
      : DIMENSIONS;
  const tokens = texts.reduce((sum: number, text: string) => sum + Math.ceil(text.length / 4), 0);
  sendJson(response, 200, {
    object: "list",
    model: typeof model === "string" ? model : "simulated",
    data: texts.map((text: string, index) => ({
      object: "embedding",
      index,
      embedding: encodeVector(embed(text, size), format),
    })),
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  });
}

async function readJson(request: IncomingMessage): Promise<object | undefined> {
  const bytes = await readBody(request, BODY_BYTES);
  if (!bytes) return undefined;
  try {
    const body: unknown = JSON.parse(bytes.toString("utf8"));
    return typeof body === "object" && body !== null ? body : undefined;
  } catch {
    return undefined;
  }
}
