/**
 * What a store knows of the readers: every live process that holds an index, and the sequence its index has passed, its
 * vectors included.
 * A view is trusted only after it has listened for longer than a heartbeat without a gap; before that it may have
 * heard some readers and not others.
 */
import { LIMITS } from "#contracts/limits.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { type Beat, Presence } from "#runtime/observe/presence.ts";

export const READER_ROLE = "reader";
/** Who makes the vectors that readers search. */
export const INDEXER_ROLE = "indexer";

/** Listening for so long hears every live reader at least once. */
const LISTEN_MS = LIMITS.heartbeatMs + 150;
/** This process stood still for longer: beats were missed, and readers that live look dead. */
const GAP_MS = 1_000;
const TICK_MS = 200;
/** A wait looks again after so long, for readers that died meanwhile. */
const LOOK_MS = 100;

export class ReadersView {
  readonly #presence: Presence;
  readonly #indexers: Presence;
  readonly #reconnects: { stop(): void };
  readonly #tick: NodeJS.Timeout;
  readonly #waiting = new Set<() => void>();
  #trustedAt = performance.now() + LISTEN_MS;
  #tickedAt = performance.now();

  constructor(bus: Bus) {
    const heard = (): void => {
      for (const look of this.#waiting) look();
    };
    this.#presence = new Presence(bus, READER_ROLE, heard);
    this.#indexers = new Presence(bus, INDEXER_ROLE, heard);
    this.#reconnects = bus.onReconnect(() => this.#distrust());
    this.#tick = setInterval(() => this.#noticeGap(), TICK_MS).unref();
  }

  /**
   * Sequence that every live reader has passed; undefined while nobody can know.
   * @param storedAt of a change that is waited for, ms since the epoch: whoever has taken in nothing as new tells the position
   * of a stream that was restored since. Older code does not tell when.
   */
  passed(storedAt = 0): number | undefined {
    this.#noticeGap();
    if (performance.now() < this.#trustedAt) return undefined;
    const readers = this.#presence.live();
    if (readers.length === 0) return undefined;
    const positions = readers.map(({ info }) =>
      Number(info.newestAt ?? storedAt) < storedAt ? 0 : Number(info.position ?? 0),
    );
    return Math.min(...positions, ...this.#vectorsOf(readers));
  }

  /**
   * How far the vectors are that readers use, a space each: as far as the last of those who know it, else as far as an
   * indexer says. Only spaces that somebody makes: without an indexer, or with one that says that embeddings or Qdrant
   * fail it, or that it is not through with what was there before it, documents are found by their words and nobody waits
   * for more.
   */
  #vectorsOf(readers: readonly Beat[]): number[] {
    const spaces = new Set(readers.flatMap(({ info }) => info.space ?? []));
    return [...spaces].flatMap((space) => {
      const made = this.#indexers
        .live()
        .filter(
          ({ draining, info }) =>
            !draining && info.space === space && info.failing !== 1 && info.behind !== 1,
        )
        .map(({ info }) => Number(info.position));
      if (made.length === 0) return [];
      // A reader that tells nothing has no vectors in its memory, or is still reading them for the first time.
      const read = readers.flatMap(({ info }) =>
        info.space === space && info.indexed !== undefined ? Number(info.indexed) : [],
      );
      return [read.length > 0 ? Math.min(...read) : Math.max(...made)];
    });
  }

  /** True as soon as every live reader has passed the sequence; false after `timeoutMs`, and while none is known. */
  async waitPassed(sequence: number, storedAt: number, timeoutMs: number): Promise<boolean> {
    const until = performance.now() + timeoutMs;
    for (;;) {
      if ((this.passed(storedAt) ?? -1) >= sequence) return true;
      const left = until - performance.now();
      if (left <= 0) return false;
      await this.#change(Math.min(left, LOOK_MS));
    }
  }

  stop(): void {
    clearInterval(this.#tick);
    this.#reconnects.stop();
    this.#presence.stop();
    this.#indexers.stop();
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
