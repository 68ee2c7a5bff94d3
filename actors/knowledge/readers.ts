/**
 * What a store knows of the readers: every live process that holds an index, and the sequence its index has passed.
 * A view is trusted only after it has listened for longer than a heartbeat without a gap; before that it may have
 * heard some readers and not others.
 */
import { LIMITS } from "#contracts/limits.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { Presence } from "#runtime/observe/presence.ts";

export const READER_ROLE = "reader";

/** Listening for so long hears every live reader at least once. */
const LISTEN_MS = LIMITS.heartbeatMs + 150;
/** This process stood still for longer: beats were missed, and readers that live look dead. */
const GAP_MS = 1_000;
const TICK_MS = 200;
/** A wait looks again after so long, for readers that died meanwhile. */
const LOOK_MS = 100;

export class ReadersView {
  readonly #presence: Presence;
  readonly #reconnects: { stop(): void };
  readonly #tick: NodeJS.Timeout;
  readonly #waiting = new Set<() => void>();
  #trustedAt = performance.now() + LISTEN_MS;
  #tickedAt = performance.now();

  constructor(bus: Bus) {
    this.#presence = new Presence(bus, READER_ROLE, () => {
      for (const look of this.#waiting) look();
    });
    this.#reconnects = bus.onReconnect(() => this.#distrust());
    this.#tick = setInterval(() => this.#noticeGap(), TICK_MS).unref();
  }

  /** Sequence that every live reader has passed; undefined while nobody can know. */
  passed(): number | undefined {
    this.#noticeGap();
    if (performance.now() < this.#trustedAt) return undefined;
    const positions = this.#presence.live().map(({ info }) => Number(info.position ?? 0));
    return positions.length === 0 ? undefined : Math.min(...positions);
  }

  /** True as soon as every live reader has passed the sequence; false after `timeoutMs`, and while none is known. */
  async waitPassed(sequence: number, timeoutMs: number): Promise<boolean> {
    const until = performance.now() + timeoutMs;
    for (;;) {
      if ((this.passed() ?? -1) >= sequence) return true;
      const left = until - performance.now();
      if (left <= 0) return false;
      await this.#change(Math.min(left, LOOK_MS));
    }
  }

  stop(): void {
    clearInterval(this.#tick);
    this.#reconnects.stop();
    this.#presence.stop();
  }

  #change(atMostMs: number): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve();
      };
      const timer = setTimeout(look, atMostMs);
      this.#waiting.add(look);
    });
  }

  #noticeGap(): void {
    const now = performance.now();
    if (now - this.#tickedAt > GAP_MS) this.#distrust();
    this.#tickedAt = now;
  }

  #distrust(): void {
    this.#trustedAt = performance.now() + LISTEN_MS;
  }
}
