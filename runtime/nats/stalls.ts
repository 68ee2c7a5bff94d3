/** Which streams do not store what they are given: those without a leader, those on a full disk. */

/** What nothing more is appended to stays stalled for so long: longer than from one time-out of an append to the next. */
const MEMORY_MS = 8_000;
/** Stands for all streams together: what any of them stores counts for it. */
const ANY = "";
/** So many streams' worth of subjects are told apart by name; the beginnings of others are learned anew. */
const MOST_FAMILIES = 10_000;

/** Times in ms of a clock that never jumps. */
export class Stalls {
  /** Streams by the beginnings of their subjects, as acknowledgements name them. */
  readonly #streams = new Map<string, string>();
  /** When a stream acknowledged an append last. */
  readonly #storedAt = new Map<string, number>();
  /** When an append to a stream failed that nothing was acknowledged since. */
  readonly #failedAt = new Map<string, number>();

  stored(subject: string, stream: string, now: number): void {
    const family = familyOf(subject);
    if (this.#streams.get(family) !== stream) {
      if (this.#streams.size >= MOST_FAMILIES) this.#streams.clear();
      this.#streams.set(family, stream);
      this.#failedAt.delete(family);
    }
    this.#storedAt.set(stream, now);
    this.#storedAt.set(ANY, now);
    if (this.#failedAt.size === 0) return;
    this.#failedAt.delete(stream);
    this.#failedAt.delete(ANY);
  }

  /**
   * An append that is late tells nothing of a stream that has stored others since this one was sent; and one that went
   * down with its connection tells nothing of its stream, only that nobody stores anything where nobody does.
   */
  failed(subject: string, { sentAt, lost }: { sentAt: number; lost: boolean }, now: number): void {
    const family = familyOf(subject);
    const stream = lost ? ANY : (this.#streams.get(family) ?? family);
    if (sentAt >= (this.#storedAt.get(stream) ?? 0)) this.#failedAt.set(stream, now);
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
