/**
 * What a provider still holds of batches that are over here: files with what people wrote, and a batch that nobody waits
 * for. Written down before they are given up, so that whoever is active deletes them, however often it takes.
 */
import { decode, encode } from "#contracts/codec.ts";
import { DAY_MS } from "#contracts/limits.ts";
import { BUCKETS, leftoverKey } from "#contracts/subjects.ts";
import type { Clock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { Kv } from "#runtime/nats/kv.ts";
import type { Log } from "#runtime/observe/log.ts";
import type { BatchApi } from "./models/batch-api.ts";
import { type Batch, markOf } from "./offline-store.ts";

export interface LeftoverParts {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly pool: string;
  readonly model: string;
  readonly api: BatchApi;
}

interface Leftover {
  readonly remote?: string | undefined;
  readonly file?: string | undefined;
  /** When it was given up, ms since the epoch. */
  readonly at: number;
}

/** Tried again after a tenth of its age, within these; looked for by a worker that just became active at once. */
const AGAIN_SHARE = 0.1;
const AGAIN_LEAST_MS = 1_000;
const AGAIN_MOST_MS = 60_000;
/** As long as a batch may take; what is there after it is left to the provider's own expiry. */
const GIVE_UP_MS = DAY_MS;

export class Leftovers {
  readonly #parts: LeftoverParts;
  readonly #kv: Kv;
  #lookAt = 0;

  constructor(parts: LeftoverParts) {
    this.#parts = parts;
    this.#kv = new Kv(parts.bus, BUCKETS.batches);
  }

  /** Resolves when it is written down; deleted at once where that works. @throws JetclawError `nats.unavailable` */
  async add(batch: Batch, signal: AbortSignal): Promise<void> {
    const { remote, file } = batch;
    if (remote === undefined && file === undefined) return;
    const { pool, model, clock } = this.#parts;
    const key = leftoverKey(pool, model, markOf(batch));
    const leftover: Leftover = { remote, file, at: clock.now() };
    await this.#kv.put(key, encode(leftover));
    await this.#tryDelete(key, leftover, signal);
  }

  /** Somebody else may have left some. */
  lookAgain(): void {
    this.#lookAt = 0;
  }

  /** Deletes what it can of what is due. */
  async clean(signal: AbortSignal): Promise<void> {
    const { pool, model, clock } = this.#parts;
    const now = clock.now();
    if (now < this.#lookAt) return;
    let nextMs = AGAIN_MOST_MS;
    for await (const { key, value } of this.#kv.entries(leftoverKey(pool, model, "*"))) {
      if (!value) continue;
      const leftover = decode<Leftover>(value);
      nextMs = Math.min(nextMs, Math.max(AGAIN_LEAST_MS, (now - leftover.at) * AGAIN_SHARE));
      await this.#tryDelete(key, leftover, signal);
    }
    this.#lookAt = now + nextMs;
  }

  async #tryDelete(key: string, leftover: Leftover, signal: AbortSignal): Promise<void> {
    const { pool, model, clock, log } = this.#parts;
    const { remote, file, at } = leftover;
    try {
      if (!(await this.#delete(leftover, signal))) this.#lookAt = 0;
      else await this.#kv.drop(key);
    } catch (err) {
      signal.throwIfAborted();
      this.#lookAt = Math.min(this.#lookAt, clock.now() + AGAIN_LEAST_MS);
      if (clock.now() - at < GIVE_UP_MS)
        return log.info({ err, pool, model, remote, file }, "offline: files are deleted later");
      log.warn(
        { err, pool, model, remote, file },
        "offline: the provider did not let files be deleted for a day; delete them there, or wait for their expiry",
      );
      await this.#kv.drop(key);
    }
  }

  /** @returns false while its batch still ends: it may yet write files */
  async #delete({ remote, file }: Leftover, signal: AbortSignal): Promise<boolean> {
    const { api } = this.#parts;
    const told = remote === undefined ? undefined : await api.get(remote, signal);
    if (told?.status === "running") {
      await api.cancel(told.id, signal);
      return false;
    }
    for (const each of [file, ...(told?.files ?? [])]) if (each !== undefined) await api.remove(each, signal);
    return true;
  }
}
