/**
 * Server-sent events with an end to every promise: a client that does not read is dropped when its share of the memory
 * is used up, all streams together have a share too, and a quiet stream gets a comment so that proxies keep it open.
 */

import type { OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { FastifyReply } from "fastify";
import { JetclawError } from "#contracts/errors.ts";
import { type Answer, eventId, type StreamEvent } from "#contracts/turn.ts";
import type { Log } from "#runtime/observe/log.ts";
import { metrics } from "#runtime/observe/metrics.ts";

export interface StreamLimits {
  readonly heartbeatMs: number;
  readonly streamBufferBytes: number;
  readonly streamsBufferBytes: number;
  readonly streams: number;
}

/** A burst may be ahead of a client for this long; one that reads has caught up by then. */
const CATCH_UP_MS = 1_000;
/** Times its share that a stream is never allowed to hold, not even for a moment. */
const BURST = 16;
/** What clients wait before they come back, and when the gateway sends them elsewhere. */
const RETRY_MS = 1_000;
const MOVE_MS = 250;

export class SseStreams {
  readonly #limits: StreamLimits;
  readonly #log: Log;
  readonly #open = new Set<SseStream>();
  readonly #heartbeat: NodeJS.Timeout;
  #buffered = 0;
  #draining = false;

  constructor(limits: StreamLimits, log: Log) {
    this.#limits = limits;
    this.#log = log;
    this.#heartbeat = setInterval(() => {
      for (const stream of [...this.#open]) stream.comment();
    }, limits.heartbeatMs).unref();
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** Asked before anything is done for a stream. @throws JetclawError `rate.limited` */
  assertRoom(): void {
    if (this.#open.size < this.#limits.streams) return;
    metrics.refusals({ reason: "streams" });
    throw new JetclawError("rate.limited", "too many open streams", { retryAfterSeconds: 5 });
  }

  /** Takes the reply over. From here on a failure is an `error` event. */
  open(reply: FastifyReply, { plain = false } = {}): SseStream {
    const stream = new SseStream(reply, plain, {
      shareBytes: this.#limits.streamBufferBytes,
      account: (change) => {
        this.#buffered += change;
        return this.#buffered <= this.#limits.streamsBufferBytes;
      },
      dropped: (unreadBytes) => {
        metrics.refusals({ reason: "stream.unread" });
        this.#log.info({ unreadBytes }, "dropped a stream that is not read");
      },
    });
    this.#open.add(stream);
    stream.onClose(() => this.#open.delete(stream));
    if (this.#draining) stream.move();
    return stream;
  }

  /** Ends every stream with the request to come back, which another gateway answers. */
  drain(): void {
    this.#draining = true;
    for (const stream of [...this.#open]) stream.move();
  }

  close(): void {
    clearInterval(this.#heartbeat);
    this.drain();
    for (const stream of [...this.#open]) stream.abort();
  }
}

interface Share {
  /** Bytes a stream may have unread for longer than a moment. */
  readonly shareBytes: number;
  /** Told of each change of unread bytes; false while all streams together hold too much. */
  account(change: number): boolean;
  dropped(unreadBytes: number): void;
}

export class SseStream {
  readonly #raw: ServerResponse;
  readonly #share: Share;
  readonly #plain: boolean;
  readonly #closers = new Set<() => void>();
  #unread = 0;
  #closed = false;
  #catchUp: NodeJS.Timeout | undefined;

  /** A plain stream has data alone: no fields of ours, no resuming, no moving. */
  constructor(reply: FastifyReply, plain: boolean, share: Share) {
    this.#raw = reply.raw;
    this.#plain = plain;
    this.#share = share;
    const headers = reply.getHeaders() as OutgoingHttpHeaders;
    reply.hijack();
    this.#raw.on("close", () => {
      clearTimeout(this.#catchUp);
      this.#account();
      this.#close();
    });
    this.#raw.on("drain", () => this.#account());
    this.#raw.on("error", () => this.#close());
    this.#raw.writeHead(200, {
      ...headers,
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      // Asks proxies of the nginx kind not to collect the stream.
      "x-accel-buffering": "no",
    });
    if (!plain) this.#write(`retry: ${RETRY_MS}\n\n`);
    if (this.#raw.destroyed) this.#close();
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Called once, when the client left, was dropped, or the stream ended. */
  onClose(listener: () => void): void {
    if (this.#closed) listener();
    else this.#closers.add(listener);
  }

  /** JSON holds no raw line breaks, so one line of data is always enough. */
  send(event: string, data: unknown, id?: string): void {
    this.#write(`event: ${event}\n${id === undefined ? "" : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`);
  }

  /** Events without a name or an id, in one write. */
  data(lines: readonly string[]): void {
    this.#write(lines.map((line) => `data: ${line}\n\n`).join(""));
  }

  /** The same, before whatever else this turn of the event loop brings: for the words that somebody waits for. */
  dataNow(lines: readonly string[]): void {
    const { socket } = this.#raw;
    socket?.cork();
    this.data(lines);
    socket?.uncork();
  }

  comment(): void {
    this.#write(":\n\n");
  }

  /** What is still on its way counts until it is read, as before. */
  end(): void {
    if (this.#closed) return;
    this.#raw.end();
    this.#holdToShare();
    this.#close();
  }

  /** Ends with the request to come back over a new connection, which another gateway may take. */
  move(): void {
    // Nobody can go on with a plain stream elsewhere: it gets the grace of the drain.
    if (this.#closed || this.#plain) return;
    const { socket } = this.#raw;
    this.#raw.end(`retry: ${MOVE_MS}\n\n`, () => socket?.end());
    this.#close();
  }

  /** Breaks off, so that what came cannot be taken for all there is. */
  abort(): void {
    if (this.#closed) return;
    this.#raw.destroy();
    this.#close();
  }

  #write(text: string): void {
    if (this.#closed) return;
    this.#raw.write(text);
    this.#holdToShare();
  }

  /** Drops a client that does not read what it was sent. */
  #holdToShare(): void {
    const fits = this.#account();
    if (this.#unread === 0) return;
    if (!fits || this.#unread > BURST * this.#share.shareBytes) this.#drop();
    else if (this.#unread > this.#share.shareBytes)
      this.#catchUp ??= setTimeout(() => {
        this.#catchUp = undefined;
        this.#account();
        if (this.#unread > this.#share.shareBytes) this.#drop();
      }, CATCH_UP_MS).unref();
  }

  #drop(): void {
    this.#share.dropped(this.#unread);
    this.#raw.destroy();
    this.#close();
  }

  #account(): boolean {
    const unread = this.#raw.destroyed ? 0 : this.#raw.writableLength;
    const change = unread - this.#unread;
    this.#unread = unread;
    return this.#share.account(change);
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const listener of this.#closers) listener();
    this.#closers.clear();
  }
}

/** What an event says on the wire. */
export function eventData(event: StreamEvent): StreamEventData {
  const { turn, attempt, number, text = "", messages, answer } = event;
  return { turn, attempt, number, text, ...(messages ? { messages } : {}), ...answer };
}

export type StreamEventData = {
  turn: number;
  attempt: number;
  number: number;
  text: string;
  messages?: readonly string[];
} & Partial<Answer>;

export function sendEvent(stream: SseStream, event: StreamEvent): void {
  stream.send(event.type, eventData(event), eventId(event));
}
