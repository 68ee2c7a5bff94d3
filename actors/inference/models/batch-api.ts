/**
 * The provider's files and batches: requests by the thousand in one file, answered within a day, at half the price. What
 * OpenAI's API reference says of `/files` and `/batches`; of a response only what is used here is read, and none of it is
 * trusted.
 */
import { ModelFailure } from "../failure.ts";
import { modelError } from "./openai-errors.ts";
import { type FormData, newForm, type Provider, ProviderRefusal, type ProviderResponse } from "./provider.ts";

/** A batch as its provider tells of it. */
export interface RemoteBatch {
  readonly id: string;
  readonly status: "running" | "completed" | "failed" | "expired" | "cancelled";
  /** Files with one line a request, answered or not; known once it has ended. */
  readonly files: readonly string[];
  /** Lines, from 0, for which the provider refused the whole batch. */
  readonly badLines: readonly number[];
  /** It failed because the provider holds as many tokens that wait as it takes. */
  readonly full: boolean;
}

/** One request's end; `answer` is the body of a completion where there is one. */
export interface LineEnd {
  readonly id: string;
  readonly answer: unknown;
}

export interface BatchApi {
  /** Stores requests, a line each. @returns the file */
  upload(name: string, lines: readonly string[], signal: AbortSignal): Promise<string>;
  /** @param mark by which `find` knows the batch again */
  begin(file: string, mark: string, signal: AbortSignal): Promise<RemoteBatch>;
  /** The batch of a mark, among those made since then (ms since the epoch). */
  find(mark: string, since: number, signal: AbortSignal): Promise<RemoteBatch | undefined>;
  /** Undefined: the provider knows no such batch. */
  get(id: string, signal: AbortSignal): Promise<RemoteBatch | undefined>;
  cancel(id: string, signal: AbortSignal): Promise<void>;
  ends(file: string, signal: AbortSignal): AsyncGenerator<LineEnd>;
  remove(file: string, signal: AbortSignal): Promise<void>;
}

const MARK = "jetclaw_batch";
/** OpenAI bounds the tokens of all batches that wait, and tells it when it looks at the next one. */
const FULL = "token_limit_exceeded";
/** The only window that OpenAI knows. */
const WINDOW = "24h";
export const COMPLETIONS = "/v1/chat/completions";
/** Longest wait for an answer about a batch, and for a file to be stored. */
const ASK_MS = 20_000;
const FILE_MS = 300_000;
/** The list of batches is read so far back at most; the provider's clock may differ from ours by this much. */
const PAGES = 20;
const PAGE = 100;
const SKEW_MS = 600_000;
/** No sane answer is longer. */
const LINE_CHARS = 16 * 1024 * 1024;

/** Every method: @throws ModelFailure, the signal's reason */
export function batchApi(provider: Provider): BatchApi {
  const call = (method: Method, path: string, signal: AbortSignal, { body, ms = ASK_MS }: CallOptions = {}) =>
    provider.call(method, path, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(ms)]),
      ...(body === undefined ? {} : { body }),
    });
  /** Undefined for a status that is an answer too. */
  const json = async (
    method: Method,
    path: string,
    signal: AbortSignal,
    options: CallOptions & { readonly accepts?: readonly number[] } = {},
  ): Promise<Json | undefined> => {
    try {
      return objectOf(JSON.parse(await (await call(method, path, signal, options)).text()));
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ProviderRefusal && options.accepts?.includes(error.status)) return undefined;
      throw modelError(error);
    }
  };
  const fileOf = (file: string): string => `/files/${encodeURIComponent(file)}`;
  const batchOf = (id: string): string => `/batches/${encodeURIComponent(id)}`;
  return {
    async upload(name, lines, signal) {
      const body = await newForm();
      body.set("purpose", "batch");
      body.set("file", new Blob([lines.join("\n"), "\n"], { type: "application/jsonl" }), name);
      return idOf(await json("POST", "/files", signal, { body, ms: FILE_MS }));
    },
    async begin(file, mark, signal) {
      const asked = { input_file_id: file, endpoint: COMPLETIONS, completion_window: WINDOW };
      const body = JSON.stringify({ ...asked, metadata: { [MARK]: mark } });
      return remoteOf(await json("POST", "/batches", signal, { body }));
    },
    async find(mark, since, signal) {
      for (let page = 0, after = ""; page < PAGES; page++) {
        const list = await json("GET", `/batches?limit=${PAGE}${after}`, signal);
        const batches = Array.isArray(list?.data) ? list.data.map(objectOf) : [];
        const found = batches.find(({ metadata }) => objectOf(metadata)[MARK] === mark);
        if (found) return remoteOf(found);
        const last = batches.at(-1);
        // Newest first: what follows is older still.
        if (list?.has_more !== true || Number(last?.created_at) * 1_000 < since - SKEW_MS) return undefined;
        after = `&after=${encodeURIComponent(idOf(last))}`;
      }
      return undefined;
    },
    async get(id, signal) {
      const found = await json("GET", batchOf(id), signal, { accepts: [404] });
      return found && remoteOf(found);
    },
    async cancel(id, signal) {
      // One that has ended cannot be cancelled, and one that nobody knows need not be.
      await json("POST", `${batchOf(id)}/cancel`, signal, { accepts: [400, 404, 409] });
    },
    async *ends(file, signal) {
      try {
        for await (const line of linesOf(
          await call("GET", `${fileOf(file)}/content`, signal, { ms: FILE_MS }),
        )) {
          const { custom_id: id, response } = objectIn(line);
          const { status_code: status, body } = objectOf(response);
          if (typeof id === "string") yield { id, answer: status === 200 ? body : undefined };
        }
      } catch (error) {
        signal.throwIfAborted();
        throw modelError(error);
      }
    },
    async remove(file, signal) {
      await json("DELETE", fileOf(file), signal, { accepts: [404] });
    },
  };
}

type Method = "GET" | "POST" | "DELETE";
interface CallOptions {
  readonly body?: string | FormData;
  readonly ms?: number;
}
type Json = Readonly<Record<string, unknown>>;

const objectOf = (value: unknown): Json =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};

/** A line that is broken is no end of any request; the others are. */
function objectIn(line: string): Json {
  try {
    return objectOf(JSON.parse(line));
  } catch {
    return {};
  }
}

function idOf(named: Json | undefined): string {
  const id = named?.id;
  if (typeof id === "string" && id !== "") return id;
  throw new ModelFailure("failed", "the provider names no file or batch");
}

const ENDS: Readonly<Record<string, RemoteBatch["status"]>> = {
  completed: "completed",
  failed: "failed",
  expired: "expired",
  cancelled: "cancelled",
};

function remoteOf(batch: Json = {}): RemoteBatch {
  const files = [batch.output_file_id, batch.error_file_id];
  const { data } = objectOf(batch.errors);
  const errors = Array.isArray(data) ? data.map(objectOf) : [];
  const lines = errors.map(({ line }) => Number(line ?? Number.NaN));
  return {
    id: idOf(batch),
    // Validating, in progress, finalizing, cancelling, and what may be added.
    status: ENDS[String(batch.status)] ?? "running",
    files: files.filter((file): file is string => typeof file === "string" && file !== ""),
    badLines: lines.filter((line) => Number.isSafeInteger(line) && line > 0).map((line) => line - 1),
    full: errors.some(({ code }) => code === FULL),
  };
}

async function* linesOf({ body }: ProviderResponse): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of body) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > LINE_CHARS) throw new ModelFailure("failed", "a line of a batch's file has no end");
    for (const line of lines) if (line.trim() !== "") yield line;
  }
  if (rest.trim() !== "") yield rest;
}
