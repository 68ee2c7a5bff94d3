/**
 * One active of several by a key in KV `placement`. A lease is no fence: whoever acts under it writes by
 * compare-and-set, or does what is harmless twice.
 */
import { decode, encode } from "#contracts/codec.ts";
import { BUCKETS } from "#contracts/subjects.ts";
import { type Clock, steadyNow as now } from "../clock.ts";
import { type Bus, StaleRevision } from "../nats/connect.ts";
import { Kv } from "../nats/kv.ts";

export interface LeaseOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  /** Key in KV `placement`: `lease.<what>`. */
  readonly key: string;
  /** Instance that wants it. */
  readonly owner: string;
  /** Silence of the holder after which another one takes over. */
  readonly leaseMs: number;
}

interface Holding {
  /** Empty where it was given back. */
  readonly owner: string;
  /** Of the holder's own clock. */
  readonly since: number;
}

export interface LeaseHolder {
  readonly owner: string;
  /** Of its own clock. */
  readonly since: number;
  /** It has renewed it since we first asked. */
  readonly alive: boolean;
}

/** Giving back is a courtesy: a store that does not answer must not hold up a process that ends. */
const RELEASE_MS = 1_000;

export class Lease {
  readonly #options: LeaseOptions;
  readonly #kv: Kv;
  #mine: { readonly revision: number; readonly at: number; readonly since: number } | undefined;
  #others: (LeaseHolder & { readonly revision: number; readonly at: number }) | undefined;

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#kv = new Kv(options.bus, BUCKETS.placement);
  }

  /** Since when it is ours without a break; undefined while it is not. */
  get since(): number | undefined {
    return this.#mine?.since;
  }

  /** Who else had it when we last wanted it. */
  get holder(): LeaseHolder | undefined {
    return this.#others;
  }

  /**
   * Takes or renews; to be asked before each piece of work. Others are judged by how long their entry has not changed
   * on a clock of our own that is never set, so clocks of machines need not agree.
   * @throws JetclawError `nats.unavailable`
   */
  async hold(): Promise<boolean> {
    const { owner, leaseMs } = this.#options;
    if (this.#mine) {
      if (now() - this.#mine.at < leaseMs / 3) return true;
      if (await this.#take(this.#mine.revision, this.#mine.since)) return true;
    }
    const entry = await this.#kv.getFromLeader(this.#options.key);
    const held = entry.value ? decode<Holding>(entry.value) : undefined;
    if (held && held.owner !== "" && held.owner !== owner) {
      const { revision } = entry;
      if (this.#others?.revision !== revision) {
        const { owner: other, since } = held;
        const alive = this.#others?.owner === other && this.#others.since === since;
        this.#others = { owner: other, since, alive, revision, at: now() };
      }
      if (now() - this.#others.at < leaseMs) return false;
    }
    return this.#take(entry.revision, held?.owner === owner ? held.since : undefined);
  }

  /** Gives it back, so that the next one need not wait; harmless when it is not held. */
  async release(): Promise<void> {
    const mine = this.#mine;
    this.#mine = undefined;
    if (!mine) return;
    try {
      const nobody = encode({ owner: "", since: mine.since } satisfies Holding);
      await this.#kv.update(this.#options.key, nobody, mine.revision, { timeoutMs: RELEASE_MS });
    } catch (error) {
      if (!(error instanceof StaleRevision)) throw error;
    }
  }

  async #take(revision: number, since = this.#options.clock.now()): Promise<boolean> {
    const { key, owner } = this.#options;
    const at = now();
    this.#mine = undefined;
    try {
      const taken = await this.#kv.update(key, encode({ owner, since } satisfies Holding), revision);
      this.#mine = { revision: taken, at, since };
      this.#others = undefined;
      return true;
    } catch (error) {
      if (error instanceof StaleRevision) return false;
      throw error;
    }
  }
}
