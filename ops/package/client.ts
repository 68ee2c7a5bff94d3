/**
 * What `jetclaw/client` exports: conversations, knowledge and actors of a gateway over HTTP. It runs in browsers, Node
 * and every platform with `fetch`.
 */
import type { Part } from "#contracts/content.ts";
import type { DocumentInput, KnowledgeDocument } from "#contracts/knowledge.ts";
import type { Transcript } from "#contracts/turn.ts";
import { type ClientOptions, Http, JetclawClientError } from "./client/http.ts";
import { followEvents, type TurnEvent } from "./client/stream.ts";
import { SentTurn, type Turn } from "./client/turn.ts";

export type { Citation, Part } from "#contracts/content.ts";
export type { DocumentInput, KnowledgeDocument } from "#contracts/knowledge.ts";
export type { Answer, Transcript, TranscriptTurn } from "#contracts/turn.ts";
export type { ClientOptions, Problem } from "./client/http.ts";
export type { TurnEvent } from "./client/stream.ts";
export type { Turn } from "./client/turn.ts";
export { JetclawClientError };

export interface SendOptions {
  /** Ends the wait. The turn goes on; `stop()` ends it. */
  readonly signal?: AbortSignal;
  /** Idempotency key; a fresh one when left out. */
  readonly id?: string;
  /** BCP 47: the language of the message. */
  readonly locale?: string;
  /** Names an assistant in the first message of a conversation. */
  readonly assistant?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}
export interface CallOptions {
  readonly signal?: AbortSignal;
}

export interface Conversation {
  readonly session: string;
  /** Sends at once, iterated or not. */
  send(message: string | readonly Part[], options?: SendOptions): Turn;
  /** Everything that happens in the session, from now on or after an event. Ends with the signal. */
  events(options?: CallOptions & { readonly lastEventId?: string }): AsyncIterable<TurnEvent>;
  /** Undefined when there is no such conversation. */
  transcript(options?: CallOptions): Promise<Transcript | undefined>;
  /** Ends the running answer. */
  stop(options?: CallOptions): Promise<void>;
  feedback(
    turn: number,
    value: "up" | "down",
    options?: CallOptions & { readonly comment?: string },
  ): Promise<void>;
  /** False when there was no such conversation. */
  erase(options?: CallOptions): Promise<boolean>;
}

export interface Changed {
  readonly collection: string;
  readonly document: string;
  readonly revision: number;
  /** Present when waited for: whether the change is searchable. */
  readonly indexed?: boolean;
}
export type ChangeOptions = CallOptions & { readonly wait?: "indexed" };

export interface Knowledge {
  put(document: string, input: DocumentInput, options?: ChangeOptions): Promise<Changed>;
  /** Undefined when there is no such document. */
  get(document: string, options?: CallOptions): Promise<KnowledgeDocument | undefined>;
  /** Undefined when there was no such document. */
  delete(document: string, options?: ChangeOptions): Promise<Changed | undefined>;
  /** All of the collection. */
  list(options?: CallOptions): Promise<Listed[]>;
}
type Listed = Omit<KnowledgeDocument, "text">;

export interface ActorClient {
  /** The handler's reply; undefined when the message is stored and nothing came back. */
  send(
    message: string,
    body?: unknown,
    options?: CallOptions & { readonly id?: string; readonly waitSeconds?: number },
  ): Promise<unknown>;
  /** What the actor shows of itself; undefined when it does not exist yet. */
  view(options?: CallOptions): Promise<unknown>;
}

export interface Client extends AsyncDisposable {
  conversation(session: string): Conversation;
  knowledge(collection: string): Knowledge;
  actor(kind: string, key: string): ActorClient;
}

/** Connects lazily. Disposing ends every wait and stream of this client; turns go on. */
export function createClient(options: ClientOptions): Client {
  const http = new Http(options);
  return {
    conversation: (session) => conversationOf(http, session),
    knowledge: (collection) => knowledgeOf(http, collection),
    actor: (kind, key) => actorOf(http, kind, key),
    [Symbol.asyncDispose]: async () => http.close(),
  };
}

/** 128 random bits. Not `randomUUID`, which browsers give to secure pages only. */
function freshId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");
}

function conversationOf(http: Http, session: string): Conversation {
  const path = ["conversations", session];
  return {
    session,
    send(message, { signal, id = freshId(), locale, assistant, metadata } = {}) {
      const content = typeof message === "string" ? { text: message } : { parts: message };
      return new SentTurn(http, {
        session,
        id,
        body: { ...content, locale, assistant, metadata },
        signal: http.signalOf(signal),
      });
    },
    events({ signal, lastEventId } = {}) {
      return followEvents({
        lastEventId,
        signal: http.signalOf(signal),
        open: (last, joined) =>
          http.call([...path, "events"], {
            headers: { accept: "text/event-stream", "last-event-id": last },
            signal: joined,
          }),
      });
    },
    transcript: (call) => http.jsonOr<Transcript>("session.not-found", path, call),
    async stop(call) {
      await http.call([...path, "stop"], { ...call, method: "POST" });
    },
    async feedback(turn, value, { comment, signal } = {}) {
      await http.call([...path, "turns", String(turn), "feedback"], {
        method: "POST",
        body: { value, comment },
        signal,
      });
    },
    async erase(call) {
      try {
        await http.call(path, { ...call, method: "DELETE" });
        return true;
      } catch (error) {
        if (error instanceof JetclawClientError && error.code === "session.not-found") return false;
        throw error;
      }
    },
  };
}

function knowledgeOf(http: Http, collection: string): Knowledge {
  const path = ["knowledge", collection];
  return {
    put: (document, body, { wait, signal } = {}) =>
      http.json<Changed>([...path, document], { method: "PUT", body, query: { wait }, signal }),
    get: (document, call) => http.jsonOr<KnowledgeDocument>("document.not-found", [...path, document], call),
    delete: (document, { wait, signal } = {}) =>
      http.jsonOr<Changed>("document.not-found", [...path, document], {
        method: "DELETE",
        query: { wait },
        signal,
      }),
    async list(call) {
      const found = new Map<string, Listed>();
      for (let after: number | undefined; ; ) {
        const query = { after: after?.toString() };
        const page = await http.json<{ documents: Listed[]; next?: number }>(path, { ...call, query });
        // One that changes meanwhile comes again on a later page.
        for (const each of page.documents) found.set(each.document, each);
        if (page.next === undefined) return [...found.values()];
        after = page.next;
      }
    },
  };
}

function actorOf(http: Http, kind: string, key: string): ActorClient {
  const path = ["actors", kind, key];
  return {
    async send(message, body = {}, { id = freshId(), waitSeconds, signal } = {}) {
      const prefer = waitSeconds === undefined ? undefined : `wait=${waitSeconds}`;
      const response = await http.call([...path, message], {
        method: "POST",
        body,
        headers: { prefer, "idempotency-key": id },
        signal,
      });
      return response.status === 202 ? undefined : await response.json();
    },
    view: (call) => http.jsonOr<unknown>("actor.not-found", path, call),
  };
}
