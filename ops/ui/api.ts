/** The gateway's routes as the page calls them. Every failure is an ApiFailure whose kind says what can be done. */
import type { KnowledgeDocument } from "#contracts/knowledge.ts";
import type { Transcript } from "#contracts/turn.ts";

/** `busy` may be repeated after a while, `network` and `server` at will; `refused` and `too-long` never. */
export type FailureKind = "network" | "server" | "busy" | "key" | "missing" | "too-long" | "refused";

export class ApiFailure extends Error {
  readonly kind: FailureKind;
  readonly retryAfterSeconds: number;

  constructor(kind: FailureKind, options: { cause?: unknown; retryAfterSeconds?: number } = {}) {
    super(`gateway: ${kind}`, { cause: options.cause });
    this.name = "ApiFailure";
    this.kind = kind;
    this.retryAfterSeconds = options.retryAfterSeconds ?? 5;
  }
}

/** A send that hangs longer than this is a lost connection: repeating it under its id is harmless. */
const REQUEST_MS = 15_000;

export interface Api {
  transcript(session: string): Promise<Transcript | undefined>;
  send(session: string, message: { id: string; text: string; locale: string }): Promise<void>;
  stop(session: string): Promise<void>;
  feedback(session: string, turn: number, value: "up" | "down"): Promise<void>;
  document(collection: string, document: string): Promise<KnowledgeDocument>;
  /** Opens the stream of a session after the event `lastEventId`. The signal closes it. */
  events(session: string, lastEventId: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array>>;
}

interface Call {
  readonly method?: "GET" | "POST";
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  readonly signal?: AbortSignal;
}

export function createApi(base: string, key: () => string): Api {
  async function call(
    path: readonly (string | number)[],
    { method = "GET", body, headers, signal }: Call = {},
  ): Promise<Response> {
    const bearer = key();
    // What no header may hold makes `fetch` fail like a dead network, which would be tried for ever.
    if (!/^[\x21-\x7e]+$/.test(bearer)) throw new ApiFailure("key");
    const url = new URL(`v1/${path.map((part) => encodeURIComponent(part)).join("/")}`, base);
    let response: Response;
    try {
      response = await fetch(url, {
        method,
        cache: "no-store",
        signal: signal ?? AbortSignal.timeout(REQUEST_MS),
        headers: {
          ...headers,
          authorization: `Bearer ${bearer}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch (cause) {
      throw new ApiFailure("network", { cause });
    }
    if (!response.ok) throw failureOf(response);
    return response;
  }

  return {
    async transcript(session) {
      try {
        const response = await call(["conversations", session]);
        return (await response.json()) as Transcript;
      } catch (failure) {
        // Nobody has written yet: a conversation begins with its first message.
        if (failure instanceof ApiFailure && failure.kind === "missing") return undefined;
        throw failure instanceof ApiFailure ? failure : new ApiFailure("network", { cause: failure });
      }
    },
    async send(session, message) {
      const headers = { prefer: "respond-async" };
      await call(["conversations", session, "messages"], { method: "POST", body: message, headers });
    },
    async stop(session) {
      await call(["conversations", session, "stop"], { method: "POST" });
    },
    async feedback(session, turn, value) {
      await call(["conversations", session, "turns", turn, "feedback"], { method: "POST", body: { value } });
    },
    async document(collection, document) {
      const response = await call(["knowledge", collection, document]);
      return (await response.json()) as KnowledgeDocument;
    },
    async events(session, lastEventId, signal) {
      const headers = { accept: "text/event-stream", "last-event-id": lastEventId };
      const response = await call(["conversations", session, "events"], { headers, signal });
      if (!response.body) throw new ApiFailure("network");
      return response.body;
    },
  };
}

function failureOf(response: Response): ApiFailure {
  const { status } = response;
  // The body of a failure is not read: its text is English, and the page has words of its own.
  void response.body?.cancel();
  if (status === 401 || status === 403) return new ApiFailure("key");
  if (status === 404) return new ApiFailure("missing");
  if (status === 413) return new ApiFailure("too-long");
  if (status === 429 || status === 503) {
    const seconds = Number(response.headers.get("retry-after"));
    if (status === 429 || seconds > 0)
      return new ApiFailure("busy", seconds > 0 ? { retryAfterSeconds: seconds } : {});
  }
  return new ApiFailure(status >= 500 || status === 408 ? "server" : "refused");
}
