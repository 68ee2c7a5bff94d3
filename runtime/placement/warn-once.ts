/** What a server's restart does to all partitions at once is one line, with how often it was. */
import type { Log } from "../observe/log.ts";

/** The same warning within this time is one. */
const TOLD_TOGETHER_MS = 500;

export class WarnOnce {
  readonly #log: Log;
  readonly #times = new Map<string, number>();

  constructor(log: Log) {
    this.#log = log;
  }

  say(message: string, fields: object = {}): void {
    const times = this.#times.get(message) ?? 0;
    this.#times.set(message, times + 1);
    if (times > 0) return;
    setTimeout(() => {
      this.#log.warn({ ...fields, times: this.#times.get(message) }, message);
      this.#times.delete(message);
    }, TOLD_TOGETHER_MS).unref();
  }
}
