/** Work that is done again and again and fails again and again: told when it begins, each minute, and when it is over. */
import type { Log } from "./log.ts";

const TELL_MS = 60_000;

export class FailureStreak {
  readonly #log: Log;
  readonly #what: string;
  readonly #now: () => number;
  #times = 0;
  #toldAt = 0;

  /** @param now of a clock that never jumps */
  constructor(log: Log, what: string, now: () => number = () => performance.now()) {
    this.#log = log;
    this.#what = what;
    this.#now = now;
  }

  failed(err: unknown): void {
    const now = this.#now();
    this.#times++;
    if (this.#times > 1 && now - this.#toldAt < TELL_MS) return;
    this.#toldAt = now;
    this.#log.warn({ err, times: this.#times }, `${this.#what} failed`);
  }

  /** It went well. */
  ended(): void {
    if (this.#times > 1) this.#log.warn({ times: this.#times }, `${this.#what} works again`);
    this.#times = 0;
  }
}
