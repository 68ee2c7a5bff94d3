/** Which streams do not store what they are given: those without a leader, those on a full disk. */
import type { Log } from "../observe/log.ts";

/** Why a process is not ready then. */
export const STORES_NOTHING = "NATS does not store what it is given";

/** What nothing more is appended to stays stalled for so long: longer than from one time-out of an append to the next. */
const MEMORY_MS = 8_000;
/** A leader that changes is no more than that. */
const TELL_MS = 5_000;
/** Stands for all streams together: what any of them stores counts for it. */
const ANY = "";
/** So many streams' worth of subjects are told apart by name; the beginnings of others are learned anew. */
const MOST_FAMILIES = 10_000;

/** Once, and that it is over: every append that waits meanwhile hears of it as well. */
export function tellStall(log: Log, stalled: boolean): void {
  if (stalled)
    log.error(
      `${STORES_NOTHING}: it is silent, has no leader, or a full disk, which a server leaves only when it is started again`,
    );
  else log.warn("NATS stores again what it is given");
}

/** Times in ms of a clock that never jumps. */
export class Stalls {
  readonly #onTurn: (stalled: boolean) => void;
  /** Since when a stream is stalled. */
  #since: number | undefined;
  #told = false;
  /** Streams by the beginnings of their subjects, as acknowledgements name them. */
  readonly #streams = new Map<string, string>();
  /** When a stream acknowledged an append last. */
  readonly #storedAt = new Map<string, number>();
  /** When an append to a stream failed that nothing was acknowledged since. */
  readonly #failedAt = new Map<string, number>();

  /** @param onTurn hears of a stall that no lost connection explains, and when everything is stored again */
  constructor(onTurn: (stalled: boolean) => void = () => {}) {
    this.#onTurn = onTurn;
  }

  stored(subject: string, stream: string, now: number): void {
    const family = familyOf(subject);
    if (this.#streams.get(family) !== stream) {
      if (this.#streams.size >= MOST_FAMILIES) this.#streams.clear();
      this.#streams.set(family, stream);
      this.#failedAt.delete(family);
    }
    this.#storedAt.set(stream, now);
    this.#storedAt.set(ANY, now);
    if (this.#failedAt.size > 0) {
      this.#failedAt.delete(stream);
      this.#failedAt.delete(ANY);
    }
    if (this.#since === undefined || this.any(now)) return;
    this.#since = undefined;
    if (this.#told) this.#turn(false);
  }

  /**
   * An append that is late tells nothing of a stream that has stored others since this one was sent; and one that went
   * down with its connection tells nothing of its stream, only that nobody stores anything where nobody does.
   */
  failed(subject: string, { sentAt, lost }: { sentAt: number; lost: boolean }, now: number): void {
    const family = familyOf(subject);
    const stream = lost ? ANY : (this.#streams.get(family) ?? family);
    if (sentAt >= (this.#storedAt.get(stream) ?? 0)) this.#failedAt.set(stream, now);
    if (!this.any(now)) return;
    this.#since ??= now;
    if (!lost && !this.#told && now - this.#since >= TELL_MS) this.#turn(true);
  }

  #turn(stalled: boolean): void {
    this.#told = stalled;
    this.#onTurn(stalled);
  }

  any(now: number): boolean {
    for (const [stream, at] of this.#failedAt)
      if (now - at < MEMORY_MS) return true;
      else this.#failedAt.delete(stream);
    return false;
  }
}

/** The first two tokens: no two streams share them. */
function familyOf(subject: string): string {
  const end = subject.indexOf(".", subject.indexOf(".") + 1);
  return end < 0 ? subject : subject.slice(0, end);
}
