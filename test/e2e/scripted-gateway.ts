/**
 * A gateway whose answers a test writes word by word: for what the real one does too rarely or too fast to look at
 * (a restart in mid-answer, a lost connection, a refusal). It serves the built page under the strict policy.
 */
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import type { Citation } from "#contracts/content.ts";
import {
  type Answer,
  eventId,
  parseEventId,
  type StreamEvent,
  type TranscriptTurn,
} from "#contracts/turn.ts";
import { NO_USAGE } from "#contracts/usage.ts";

export const STRICT_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const TYPES: Record<string, string> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** One turn, written by the test. */
export interface ScriptedTurn {
  readonly turn: number;
  delta(text: string): void;
  /** Another worker begins again, as attempt + 1. */
  restart(): void;
  done(reply: string, rest?: Partial<Answer>): void;
}

interface Session {
  readonly turns: Mutable<TranscriptTurn>[];
  readonly events: StreamEvent[];
  readonly streams: Set<ServerResponse>;
}

export class ScriptedGateway {
  /** The only key that is accepted. */
  key = "demo";
  /** Answers to the next sends instead of 202. */
  readonly refusals: { status: number; retryAfterSeconds?: number; lost?: boolean }[] = [];
  /** Sockets are reset while true, as behind a dead network. */
  isCut = false;
  readonly received: { id: string; text: string; locale?: string }[] = [];
  readonly stops: string[] = [];
  readonly feedback: { turn: string; value: string }[] = [];
  readonly resumes: string[] = [];
  readonly documents = new Map<string, { title: string; text: string; revision: number }>();
  readonly #sessions = new Map<string, Session>();
  readonly #waiting: ((turn: ScriptedTurn) => void)[] = [];
  readonly #begun: ScriptedTurn[] = [];
  readonly #root: string;
  readonly #server = createServer((request, response) => void this.#handle(request, response));

  constructor(root: string) {
    this.#root = root;
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  /** The next turn that a message begins. */
  nextTurn(): Promise<ScriptedTurn> {
    const begun = this.#begun.shift();
    if (begun) return Promise.resolve(begun);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Ends every open stream as a network would, without a word. */
  dropStreams(): void {
    for (const session of this.#sessions.values())
      for (const stream of session.streams) stream.socket?.destroy();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://x");
    if (!url.pathname.startsWith("/v1/")) return this.#file(url.pathname, response);
    if (this.isCut) {
      request.socket.destroy();
      return;
    }
    if (request.headers.authorization !== `Bearer ${this.key}`) return problem(response, 401);
    const [, , kind, ...rest] = url.pathname.split("/").map(decodeURIComponent);
    if (kind === "knowledge") return this.#document(rest.join("/"), response);
    const [session = "", ...action] = rest;
    const route = `${request.method} ${action[0] ?? ""}`;
    if (route === "POST messages") return this.#take(session, JSON.parse(await bodyOf(request)), response);
    if (route === "GET events") return this.#follow(session, request, response);
    if (route === "GET ") return this.#transcript(session, response);
    if (route === "POST stop") {
      this.stops.push(session);
      return json(response, 202, {});
    }
    if (route === "POST turns") {
      this.feedback.push({ turn: action[1] ?? "", value: JSON.parse(await bodyOf(request)).value });
      return json(response, 202, {});
    }
    problem(response, 404);
  }

  #take(name: string, message: { id: string; text: string }, response: ServerResponse): void {
    this.received.push(message);
    const refusal = this.refusals.shift();
    if (refusal && !refusal.lost) return problem(response, refusal.status, refusal.retryAfterSeconds);
    const session = this.#session(name);
    const isKnown = session.turns.some((turn) => turn.messages.some(({ id }) => id === message.id));
    // Lost: the message arrived, its acknowledgement did not.
    if (refusal?.lost) response.socket?.destroy();
    else json(response, 202, { session: name, id: message.id });
    if (!isKnown) this.#begin(name, session, message);
  }

  #begin(name: string, session: Session, { id, text }: { id: string; text: string }): void {
    const number = session.turns.length + 1;
    const record: Mutable<TranscriptTurn> = {
      turn: number,
      messages: [{ id, text, at: Date.now() }],
      reply: null,
      citations: [],
      model: null,
      cached: false,
      at: Date.now(),
    };
    session.turns.push(record);
    this.#publish(session, { type: "turn", turn: number, attempt: 0, number: 0, messages: [id] });
    let attempt = 1;
    let at = 0;
    const publish = (event: Pick<StreamEvent, "type" | "text" | "answer">): void => {
      this.#publish(session, { turn: number, attempt, number: at, ...event });
    };
    const turn: ScriptedTurn = {
      turn: number,
      delta: (delta) => {
        at += 1;
        publish({ type: "delta", text: delta });
      },
      restart: () => {
        attempt += 1;
        at = 0;
        publish({ type: "restart", text: "" });
      },
      done: (reply, rest = {}) => {
        at += 1;
        const answer: Answer = {
          ...{ session: name, turn: number, reply, citations: [] as Citation[], model: "kb-extract" },
          ...{ cached: false, usage: NO_USAGE, outcome: "answered" as const },
          ...rest,
        };
        const { citations, model, cached, outcome } = answer;
        Object.assign(record, { reply, citations, model, cached, outcome, at: Date.now() });
        publish({ type: "done", text: reply, answer });
      },
    };
    const waiting = this.#waiting.shift();
    if (waiting) waiting(turn);
    else this.#begun.push(turn);
  }

  #publish(session: Session, event: StreamEvent): void {
    session.events.push(event);
    for (const stream of session.streams) write(stream, event);
  }

  #follow(name: string, request: IncomingMessage, response: ServerResponse): void {
    const session = this.#session(name);
    const last = String(request.headers["last-event-id"] ?? "");
    this.resumes.push(last);
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    response.write(":\n\n");
    const after = parseEventId(last);
    for (const event of session.events) if (!after || isAfter(event, after)) write(response, event);
    session.streams.add(response);
    response.on("close", () => session.streams.delete(response));
  }

  #transcript(name: string, response: ServerResponse): void {
    const session = this.#sessions.get(name);
    if (!session || session.turns.length === 0) return problem(response, 404);
    const isRunning = session.turns.some(({ reply }) => reply === null);
    json(response, 200, { session: name, status: isRunning ? "answering" : "idle", turns: session.turns });
  }

  #document(name: string, response: ServerResponse): void {
    const found = this.documents.get(name);
    if (found) json(response, 200, found);
    else problem(response, 404);
  }

  #session(name: string): Session {
    const known = this.#sessions.get(name);
    if (known) return known;
    const made: Session = { turns: [], events: [], streams: new Set() };
    this.#sessions.set(name, made);
    return made;
  }

  async #file(pathname: string, response: ServerResponse): Promise<void> {
    const path = join(this.#root, normalize(pathname === "/" ? "/index.html" : pathname));
    const content = await readFile(path).catch(() => undefined);
    if (!content) return problem(response, 404);
    response.writeHead(200, {
      "content-type": TYPES[extname(path)] ?? "application/octet-stream",
      "content-security-policy": STRICT_POLICY,
    });
    response.end(content);
  }
}

function isAfter(event: StreamEvent, last: { turn: number; attempt: number; number: number }): boolean {
  const difference = event.turn - last.turn || event.attempt - last.attempt || event.number - last.number;
  return difference > 0;
}

/** On the wire the answer's fields stand beside the event's, as the gateway writes them. */
function write(stream: ServerResponse, event: StreamEvent): void {
  const { type, answer, ...fields } = event;
  stream.write(
    `event: ${type}\nid: ${eventId(event)}\ndata: ${JSON.stringify({ ...fields, ...answer })}\n\n`,
  );
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

function problem(response: ServerResponse, status: number, retryAfterSeconds?: number): void {
  const headers = retryAfterSeconds === undefined ? {} : { "retry-after": String(retryAfterSeconds) };
  response
    .writeHead(status, { "content-type": "application/problem+json", ...headers })
    .end(JSON.stringify({ status }));
}
