/** How busy this host's partitions are, for the beat: messages a second, smoothed. */
import { PARTITIONS } from "#contracts/ids.ts";
import type { ActorHost } from "../actor/host.ts";

/** Weight of what came since the last beat. */
const NEWEST = 0.3;
/** Beats within this time tell the same. */
const LEAST_MS = 100;

export class Rates {
  readonly #now: () => number;
  readonly #before = new Map<number, number>();
  readonly #perSecond = new Array<number>(PARTITIONS).fill(0);
  #at: number;

  constructor(now: () => number) {
    this.#now = now;
    this.#at = now();
  }

  /** The partitions that have anything to do. */
  of(host: Pick<ActorHost, "partitions" | "receivedOf">): [partition: number, perSecond: number][] {
    const owned = host.partitions;
    const passed = this.#now() - this.#at;
    if (passed >= LEAST_MS) {
      this.#at += passed;
      for (const p of owned) {
        const received = host.receivedOf(p);
        const since = received - (this.#before.get(p) ?? 0);
        this.#before.set(p, received);
        // A partition taken anew counts from zero again.
        const rate = (Math.max(0, since) / passed) * 1_000;
        this.#perSecond[p] = (1 - NEWEST) * (this.#perSecond[p] ?? 0) + NEWEST * rate;
      }
    }
    return owned.flatMap((p): [number, number][] => {
      const rate = Math.round((this.#perSecond[p] ?? 0) * 10) / 10;
      return rate > 0 ? [[p, rate]] : [];
    });
  }
}
