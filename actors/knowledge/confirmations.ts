/**
 * Events of other systems that said what was stored already. They change no revision, so when they happened stands here, a
 * time a document: what happened before it and is told after it is late, although the document itself is older.
 */
import { decode, encode } from "#contracts/codec.ts";
import { DAY_MS } from "#contracts/limits.ts";
import { BUCKETS } from "#contracts/subjects.ts";
import { type Bus, StaleRevision } from "#runtime/nats/connect.ts";
import { Kv } from "#runtime/nats/kv.ts";

/** Who tells of something later than that has not told it out of order but twice. */
const REMEMBERED_MS = 7 * DAY_MS;

export class Confirmations {
  readonly #kv: Kv;

  constructor(bus: Bus) {
    this.#kv = new Kv(bus, BUCKETS.confirmed);
  }

  /** Of the newest one, ms since the epoch; 0 where there is none. @throws JetclawError `nats.unavailable` */
  async newestAt(subject: string): Promise<number> {
    return (await this.#last(subject)).at;
  }

  /** @throws JetclawError `nats.unavailable` */
  async note(subject: string, at: number): Promise<void> {
    for (;;) {
      const last = await this.#last(subject);
      if (last.at >= at) return;
      try {
        await this.#kv.update(subject, encode({ at }), last.revision, { ttlMs: REMEMBERED_MS });
        return;
      } catch (error) {
        if (!(error instanceof StaleRevision)) throw error;
      }
    }
  }

  async #last(subject: string): Promise<{ at: number; revision: number }> {
    const { value, revision } = await this.#kv.getFromLeader(subject);
    return { at: value ? decode<{ at: number }>(value).at : 0, revision };
  }
}
