/**
 * The one table of errors. A code is `group.code`; retry says what a caller may do; text and next step are public.
 * README.md of this folder lists the same codes, held equal by a test.
 */
export type Retry = "never" | "later" | "now";
export interface ErrorEntry {
  readonly status: number;
  readonly retry: Retry;
  /** What may be shown to anyone: no ids, keys or message text. */
  readonly text: string;
  readonly next: string;
}

const entry = (status: number, retry: Retry, text: string, next: string): ErrorEntry => ({
  status,
  retry,
  text,
  next,
});

export const ERRORS = {
  "request.invalid": entry(400, "never", "The request is not valid.", "Correct the fields named in detail."),
  "request.id": entry(
    400,
    "never",
    "An id is not valid.",
    "Use 1 to 256 characters without white space or control characters.",
  ),
  "request.too-large": entry(413, "never", "The request is too large.", "Send less; the limit is in detail."),
  "request.timeout": entry(408, "now", "The request arrived too slowly.", "Send it again."),
  "request.media-type": entry(
    415,
    "never",
    "The content type is not supported.",
    "Send application/json, or what detail names.",
  ),
  "auth.missing": entry(401, "never", "No valid API key was given.", "Send Authorization: Bearer <key>."),
  "auth.forbidden": entry(
    403,
    "never",
    "This key may not do that.",
    "Use a key with the scope named in detail.",
  ),
  "auth.too-many-failures": entry(
    429,
    "later",
    "Too many wrong keys from this address.",
    "Wait for Retry-After seconds.",
  ),
  "key.not-found": entry(404, "never", "There is no such API key.", "List the keys for their ids."),
  "session.not-found": entry(
    404,
    "never",
    "There is no such conversation.",
    "Check the session id and the key's tenant.",
  ),
  "document.not-found": entry(
    404,
    "never",
    "There is no such document.",
    "Check collection and document id.",
  ),
  "cache.not-found": entry(
    404,
    "never",
    "There is no such cached answer.",
    "See the ids: jetclaw cache explain.",
  ),
  "cache.unknown": entry(
    503,
    "later",
    "No host with caches answers at the moment.",
    "Try again; operators: jetclaw run conversation.",
  ),
  "actor.kind-unknown": entry(
    404,
    "never",
    "No actor of this kind is defined.",
    "Add it to actors in jetclaw.config.ts.",
  ),
  "actor.message-unknown": entry(
    404,
    "never",
    "The actor does not know this message.",
    "Check the messages of its definition.",
  ),
  "actor.not-found": entry(404, "never", "There is no such actor yet.", "Send it a message first."),
  "actor.state-too-large": entry(
    413,
    "never",
    "The actor's state is above the limit.",
    "Keep less in its state; the limit is in detail.",
  ),
  "actor.state-newer": entry(
    409,
    "later",
    "The state was written by newer code.",
    "Finish the rolling deploy, then try again.",
  ),
  "actor.handler-failed": entry(
    500,
    "never",
    "The message could not be processed.",
    "Give the reference in detail to the operator.",
  ),
  "dead.not-found": entry(
    404,
    "never",
    "There is no such dead letter.",
    "List them for their references: jetclaw dead ls. That of a turn whose model failed is in the logs of the conversation role.",
  ),
  "dead.unreadable": entry(
    409,
    "never",
    "These bytes are no message; they cannot be redriven.",
    "Look at them with jetclaw dead show, drop them with jetclaw dead rm.",
  ),
  "archive.unavailable": entry(
    503,
    "later",
    "The archive cannot be read or written.",
    "Check what detail names; an export goes on where it ended.",
  ),
  "archive.damaged": entry(
    409,
    "never",
    "A part of the archive is missing or was changed.",
    "Bring back the part named in detail from a copy of the archive.",
  ),
  "archive.too-old": entry(
    409,
    "never",
    "The archive goes further back than erased conversations are remembered.",
    "Leave out the days that detail names, or bring them back all the same with --force.",
  ),
  "route.not-found": entry(404, "never", "There is no such route.", "See /openapi.json for the routes."),
  "mailbox.full": entry(
    429,
    "later",
    "This conversation has too many unanswered messages.",
    "Wait for Retry-After seconds.",
  ),
  "rate.limited": entry(429, "later", "Too many requests.", "Wait for Retry-After seconds."),
  "load.refused": entry(
    429,
    "later",
    "Too many people are asking; new conversations wait for a moment.",
    "Wait for Retry-After seconds. Conversations that have begun go on.",
  ),
  "deployment.missing": entry(
    503,
    "later",
    "This NATS server holds no deployment.",
    "Name the server of one, or make one there: jetclaw provision --nats <url>.",
  ),
  "pool.not-found": entry(
    404,
    "never",
    "There is no such pool.",
    "Name one that detail lists: the pools of the configuration.",
  ),
  "load.unknown": entry(
    503,
    "later",
    "Nobody measures the load at the moment.",
    "Try again; operators: jetclaw run governor.",
  ),
  "turn.timeout": entry(
    504,
    "later",
    "The answer is not ready yet; the turn goes on.",
    "Read the conversation later, or its events.",
  ),
  "turn.deadline": entry(
    504,
    "later",
    "The answer took too long.",
    "Ask again; give the reference to support if it persists.",
  ),
  "turn.failed": entry(
    502,
    "later",
    "No model could answer.",
    "Ask again later; give the reference to support if it persists.",
  ),
  "model.unavailable": entry(503, "later", "The model is not available.", "Try again later."),
  "model.rejected": entry(502, "never", "The model refused the request.", "Check the model's configuration."),
  "knowledge.unavailable": entry(
    503,
    "later",
    "The documents cannot be searched now.",
    "Try again; operators: start a process that holds documents, jetclaw run conversation or jetclaw run retrieval.",
  ),
  "embeddings.unavailable": entry(
    503,
    "later",
    "The embedding model is not available.",
    "Try again later; documents are found by their words meanwhile.",
  ),
  "embeddings.rejected": entry(
    502,
    "never",
    "The embedding model refused the request.",
    "Check url, key, model and dimensions of the embeddings.",
  ),
  "vectors.unavailable": entry(
    503,
    "later",
    "The vector index is not available.",
    "Try again later; documents are found by their words meanwhile.",
  ),
  "vectors.rejected": entry(
    502,
    "never",
    "The vector index refused the vectors.",
    "Look at what it says: jetclaw dead ls --stream KNOWLEDGE.",
  ),
  "vectors.incomplete": entry(
    502,
    "later",
    "Too many documents were refused.",
    "Mend what detail names and index again, or do without these documents: jetclaw kb reindex --force.",
  ),
  "vectors.busy": entry(
    409,
    "later",
    "The vectors are being made anew already.",
    "Wait until that run has ended, or end it. A run that died is taken over by the next one, which waits 15 s for a sign of it.",
  ),
  "vectors.dimension": entry(
    500,
    "never",
    "The vectors do not fit the index.",
    "Use the model that the index was made with, or make all vectors anew: jetclaw kb reindex.",
  ),
  "nats.unavailable": entry(
    503,
    "later",
    "The message store is not available.",
    "Try again; operators: jetclaw doctor.",
  ),
  "nats.refused": entry(
    500,
    "never",
    "NATS does not know this user.",
    "Name one that it knows: JETCLAW_NATS_URL=nats://user:password@host:port.",
  ),
  "nats.too-large": entry(
    413,
    "never",
    "The message is above what the store carries.",
    "Send less; the limit is in detail.",
  ),
  "codec.invalid": entry(
    400,
    "never",
    "The bytes are not a valid envelope.",
    "Encode the documented envelope in msgpack.",
  ),
  "config.invalid": entry(
    500,
    "never",
    "The configuration is not valid.",
    "Correct the keys named in detail.",
  ),
  "start.refused": entry(
    500,
    "never",
    "The process refuses to start this way.",
    "Follow the step in detail.",
  ),
  "internal.bug": entry(
    500,
    "later",
    "Something went wrong on our side.",
    "Give the reference in detail to the operator.",
  ),
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;

/** The only error the product throws on purpose: a code of the table, a detail for the caller, the cause for the log. */
export class JetclawError extends Error {
  readonly code: ErrorCode;
  readonly detail: string | undefined;
  /** Seconds to wait, where the table says "later" and the thrower knows. */
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ErrorCode, detail?: string, options?: { cause?: unknown; retryAfterSeconds?: number }) {
    super(
      detail ? `${code}: ${detail}` : `${code}: ${ERRORS[code].text}`,
      options?.cause === undefined ? undefined : { cause: options.cause },
    );
    this.name = "JetclawError";
    this.code = code;
    this.detail = detail;
    this.retryAfterSeconds = options?.retryAfterSeconds;
  }

  get status(): number {
    return ERRORS[this.code].status;
  }

  get retry(): Retry {
    return ERRORS[this.code].retry;
  }
}

/** Wraps anything thrown: known errors pass, everything else is our bug. */
export function asJetclawError(thrown: unknown): JetclawError {
  if (thrown instanceof JetclawError) return thrown;
  return new JetclawError("internal.bug", undefined, { cause: thrown });
}
