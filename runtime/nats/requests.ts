/**
 * Requests over one inbox subscription, for the hot path of appends. nats.js makes an error with its stack and two
 * timers for every request, also for those that succeed: a quarter of a host's CPU. Here a request is one map entry, and
 * one timer looks for those whose time is over.
 */
import type { Msg, MsgHdrs, NatsConnection } from "@nats-io/transport-node";
import { JetclawError } from "#contracts/errors.ts";

interface Pending {
  readonly resolve: (message: Msg) => void;
  readonly reject: (error: Error) => void;
  readonly until: number;
}

/** How late a time-out may be noticed. */
const SWEEP_MS = 100;
/** A request waits for so long, and meanwhile no other one was answered: something is wrong with more than a stream. */
const SILENCE_MS = 2_000;

export class Requests {
  readonly #nc: NatsConnection;
  readonly #prefix: string;
  readonly #pending = new Map<string, Pending>();
  #last = 0;
  #timer: NodeJS.Timeout | undefined;
  /** When an answer came last, or the first request after a quiet time was made. */
  #heardAt = 0;
  readonly #onSilence: () => void;

  /** @param onSilence called again and again while requests wait and none of them is answered */
  constructor(nc: NatsConnection, inbox: string, onSilence: () => void) {
    this.#nc = nc;
    this.#onSilence = onSilence;
    this.#prefix = `${inbox}.`;
    nc.subscribe(`${inbox}.*`, {
      callback: (error, message) => (error ? undefined : this.#receive(message)),
    });
    void nc.closed().then(() => this.#fail(() => true, "the connection was closed"));
  }

  /** @throws JetclawError `nats.unavailable` when nobody is there to answer, or nobody did in time */
  send(subject: string, data: Uint8Array, headers: MsgHdrs | undefined, timeoutMs: number): Promise<Msg> {
    return new Promise((resolve, reject) => {
      const token = (++this.#last).toString(36);
      this.#pending.set(token, { resolve, reject, until: Date.now() + timeoutMs });
      if (!this.#timer) {
        this.#heardAt = Date.now();
        this.#timer = setInterval(() => this.#sweep(), SWEEP_MS);
      }
      try {
        this.#nc.publish(subject, data, { reply: this.#prefix + token, ...(headers ? { headers } : {}) });
      } catch (error) {
        this.#pending.delete(token);
        reject(error);
      }
    });
  }

  #receive(message: Msg): void {
    const token = message.subject.slice(this.#prefix.length);
    const pending = this.#pending.get(token);
    if (!pending) return;
    this.#pending.delete(token);
    this.#heardAt = Date.now();
    if (message.data.length === 0 && message.headers?.code === 503)
      pending.reject(new JetclawError("nats.unavailable", "nobody answers on this subject"));
    else pending.resolve(message);
  }

  #sweep(): void {
    const now = Date.now();
    if (now - this.#heardAt > SILENCE_MS) {
      this.#heardAt = now;
      this.#onSilence();
    }
    this.#fail(({ until }) => until <= now, "no answer in time");
  }

  #fail(over: (pending: Pending) => boolean, why: string): void {
    for (const [token, pending] of this.#pending) {
      if (!over(pending)) continue;
      this.#pending.delete(token);
      pending.reject(new JetclawError("nats.unavailable", why));
    }
    if (this.#pending.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
