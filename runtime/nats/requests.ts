/**
 * Requests over one inbox subscription, for the hot path of appends. nats.js makes an error with its stack and two
 * timers for every request, also for those that succeed: a quarter of a host's CPU. Here a request is one map entry, and
 * one timer looks for those whose time is over.
 */
import type { Msg, MsgHdrs, NatsConnection } from "@nats-io/transport-node";
import { JetclawError } from "#contracts/errors.ts";
import { arrived } from "../within.ts";

interface Pending {
  readonly resolve: (message: Msg) => void;
  readonly reject: (error: Error) => void;
  until: number;
  /** An append: its answer needs a quorum, where a read may be answered by a server that is alone. */
  readonly append: boolean;
}

/** What was sent over a connection that is gone is answered so soon or never. */
const AFTER_LOSS_MS = 500;
/** Those whose time is over at about the same time are looked for once. */
const SWEEP_MS = 100;
/** No append was acknowledged for so long while some waited: something may be wrong with more than a stream. */
const SILENCE_MS = 2_000;

export class Requests {
  readonly #nc: NatsConnection;
  readonly #prefix: string;
  readonly #pending = new Map<string, Pending>();
  #last = 0;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = 0;
  /** Appends that wait for their acknowledgement. */
  #appends = 0;
  /** When an append was acknowledged last, or the first one after a quiet time was made. */
  #heardAt = 0;
  readonly #onSilence: () => void;

  /** @param onSilence called again and again while appends wait and none of them is acknowledged */
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
      const append = !subject.startsWith("$JS.API.");
      const now = performance.now();
      if (append && this.#appends++ === 0) this.#heardAt = now;
      this.#pending.set(token, { resolve, reject, until: now + timeoutMs, append });
      this.#watch(now, append ? Math.min(timeoutMs, SILENCE_MS) : timeoutMs);
      try {
        this.#nc.publish(subject, data, { reply: this.#prefix + token, ...(headers ? { headers } : {}) });
      } catch (cause) {
        this.#forget(token);
        reject(new JetclawError("nats.unavailable", "nothing can be sent", { cause }));
      }
    });
  }

  /** The connection was lost and is back: most answers that were under way went down with it. */
  hurry(): void {
    const until = performance.now() + AFTER_LOSS_MS;
    for (const pending of this.#pending.values()) pending.until = Math.min(pending.until, until);
    if (this.#pending.size > 0) this.#watch(performance.now(), AFTER_LOSS_MS);
  }

  /**
   * One timer for all, for the one whose time is over first. None that ticks: Node wakes up at the time of a timer that was
   * cleared if no other one comes before, so a process that asks every four seconds woke once more for each question.
   */
  #watch(now: number, inMs: number): void {
    const at = now + Math.max(SWEEP_MS, inMs);
    if (this.#timer !== undefined && this.#timerAt <= at) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(() => void arrived().then(() => this.#sweep()), at - now);
  }

  #receive(message: Msg): void {
    const token = message.subject.slice(this.#prefix.length);
    const pending = this.#pending.get(token);
    if (!pending) return;
    this.#forget(token);
    if (pending.append) this.#heardAt = performance.now();
    if (message.data.length === 0 && message.headers?.code === 503)
      pending.reject(new JetclawError("nats.unavailable", "nobody answers on this subject"));
    else pending.resolve(message);
  }

  #forget(token: string): void {
    if (this.#pending.get(token)?.append) this.#appends--;
    this.#pending.delete(token);
    if (this.#pending.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #sweep(): void {
    // Since it went off another one may have been set, which nobody would clear.
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const now = performance.now();
    if (this.#appends > 0 && now - this.#heardAt >= SILENCE_MS) {
      this.#heardAt = now;
      this.#onSilence();
    }
    this.#fail(({ until }) => until <= now, "no answer in time");
    if (this.#pending.size === 0) return;
    let next = this.#appends > 0 ? this.#heardAt + SILENCE_MS : Number.POSITIVE_INFINITY;
    for (const { until } of this.#pending.values()) next = Math.min(next, until);
    this.#watch(now, next - now);
  }

  #fail(over: (pending: Pending) => boolean, why: string): void {
    for (const [token, pending] of this.#pending) {
      if (!over(pending)) continue;
      this.#forget(token);
      pending.reject(new JetclawError("nats.unavailable", why));
    }
  }
}
