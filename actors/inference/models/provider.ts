/**
 * Requests to an OpenAI-compatible server, the one place that makes them. The `openai` package and `fetch` beneath it cost
 * a third of a worker's CPU: headers, bodies and streams are each wrapped three times. What is needed of them is little:
 * a connection that is given up in time, a status, headers, and the pieces of a body.
 */
import type { FormData, Pool } from "undici";
import { Exchange, type Head, type Sink } from "./exchange.ts";

/** What is read of an answer: its body once, in one of three ways. */
export interface ProviderResponse {
  readonly headers: { get(name: string): string | null };
  readonly body: AsyncIterable<Uint8Array>;
  /** See `Exchange.read`. */
  read(sink: Sink): Promise<void>;
  text(): Promise<string>;
}

export interface Provider {
  /**
   * Resolves with an answer of status 2xx, whose body is to be read or left early.
   * @throws ProviderRefusal for any other status, ProviderUnreachable without one, the signal's reason
   */
  post(path: string, body: unknown, options: PostOptions): Promise<ProviderResponse>;
  /** The same for other methods and bodies: a text is JSON, a form brings its own type. */
  call(
    method: "GET" | "POST" | "DELETE",
    path: string,
    options: PostOptions & { readonly body?: string | FormData },
  ): Promise<ProviderResponse>;
}
export interface PostOptions {
  readonly signal: AbortSignal;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The server answered with a status that is no success. Its words are for our own decisions, not for logs. */
export class ProviderRefusal extends Error {
  readonly status: number;
  /** The server's own name of the error; empty where it gives none. */
  readonly code: string;
  readonly headers: ProviderResponse["headers"];

  constructor(status: number, text: string, headers: ProviderResponse["headers"]) {
    const { message, code } = errorIn(text);
    super(message);
    this.name = "ProviderRefusal";
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

/** No answer at all. */
export class ProviderUnreachable extends Error {
  constructor(cause: unknown) {
    super("the server does not answer", { cause });
    this.name = "ProviderUnreachable";
  }
}

const CONNECT_MS = 3_000;
/** Read of an error's body. */
const ERROR_CHARS = 16_384;
/** An answer that is larger is none. */
const ANSWER_BYTES = 64 * 1024 * 1024;

export type { FormData };

/** Loaded by who opens a provider, beside whatever else it begins with: a worker of other models does without. */
const undici = () => import("undici");

export async function newForm(): Promise<FormData> {
  const { FormData } = await undici();
  return new FormData();
}

/** @param baseUrl `.../v1`, with a query where the server wants one */
export function openProvider(
  baseUrl: string,
  apiKey: string | undefined,
  connectMs = CONNECT_MS,
  answerBytes = ANSWER_BYTES,
): Provider {
  const { origin, pathname, search } = new URL(baseUrl);
  const base = pathname.replace(/\/+$/, "");
  // How long an answer may take is for `patience.ts` to say.
  let dispatcher: Pool | undefined;
  const opening = undici().then(({ Pool }) => {
    dispatcher = new Pool(origin, {
      connect: { timeout: connectMs },
      headersTimeout: 0,
      bodyTimeout: 0,
      maxResponseSize: answerBytes,
    });
    return dispatcher;
  });
  const own = { authorization: `Bearer ${apiKey ?? "none"}`, "user-agent": "jetclaw" };
  const json = { ...own, "content-type": "application/json" };
  const call: Provider["call"] = async (method, path, { body, signal, headers }) => {
    const query = path.includes("?") ? search.replace("?", "&") : search;
    const known = typeof body === "string" ? json : own;
    const exchange = new Exchange(signal);
    // Once it is open nothing is waited for: the request leaves before its job's slot asks for the next one.
    (dispatcher ?? (await opening)).dispatch(
      {
        origin,
        path: `${base}${path}${query}`,
        method,
        headers: headers ? { ...known, ...headers } : known,
        body: body ?? null,
      },
      exchange,
    );
    const head = await exchange.head.catch((error: unknown) => {
      signal.throwIfAborted();
      throw new ProviderUnreachable(error);
    });
    const read = { get: (name: string) => headerOf(head.headers, name) };
    // A redirect is no success either: it would carry the key and the conversation elsewhere.
    if (head.statusCode < 200 || head.statusCode > 299)
      throw new ProviderRefusal(head.statusCode, await textOf(exchange), read);
    return {
      headers: read,
      body: exchange,
      read: (sink) => exchange.read(sink),
      text: () => exchange.text(),
    };
  };
  return {
    call,
    post: (path, body, options) => call("POST", path, { ...options, body: JSON.stringify(body) }),
  };
}

function headerOf(headers: Head["headers"], name: string): string | null {
  const value = headers[name];
  return value === undefined ? null : Array.isArray(value) ? (value[0] ?? null) : value;
}

/** The beginning of an error's body; what cannot be read says nothing. */
async function textOf(exchange: Exchange): Promise<string> {
  let text = "";
  // The status alone is enough.
  const read = exchange.read((piece) => {
    text += Buffer.from(piece).toString("latin1");
    return text.length <= ERROR_CHARS;
  });
  await read.catch(() => {});
  return text;
}

/** Google wraps its errors in a list and names what is wrong in their details; the message of Mistral's is an object. */
function errorIn(text: string): { message: string; code: string } {
  try {
    const parsed: unknown = JSON.parse(text);
    const { error, ...rest } = objectOf(Array.isArray(parsed) ? parsed[0] : parsed);
    const { message, code, type, details } = typeof error === "object" && error ? objectOf(error) : rest;
    const reason = Array.isArray(details)
      ? details.map((each) => objectOf(each).reason).find(Boolean)
      : undefined;
    return {
      message: typeof message === "string" ? message : text,
      code: String(reason ?? code ?? type ?? ""),
    };
  } catch {
    return { message: text, code: "" };
  }
}

const objectOf = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
