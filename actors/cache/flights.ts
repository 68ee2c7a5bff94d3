/**
 * Single flight: of those who ask the same at once one asks a model, the others wait for his answer. Waiting is the
 * conversation's affair (a turn that waits is committed, and its mailbox goes on); here it is only known who flies.
 *
 *   join: somebody flies, in a class at least as urgent ----------------------> wait, 8 s at most
 *         nobody here -> lease in KV (only where other hosts may ask the same) -> taken by another host -> wait
 *                           |                                                  \-> slow, failing ------> ask
 *                           v
 *                          ask -> answer kept, or none -> land: the lease goes, who waits here and elsewhere wakes
 *
 * A host that dies lands nothing: its lease expires, and who waits for it asks when his time is over.
 */
import { decode, encode } from "#contracts/codec.ts";
import { LIMITS } from "#contracts/limits.ts";
import { BUCKETS, CLASSES, CORE, type PriorityClass } from "#contracts/subjects.ts";
import type { Clock } from "#runtime/clock.ts";
import { type Bus, StaleRevision, type Subscription } from "#runtime/nats/connect.ts";
import { Kv } from "#runtime/nats/kv.ts";
import type { Log } from "#runtime/observe/log.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import { patience, within } from "#runtime/within.ts";
import { flightKey } from "./key.ts";
import type { Flight } from "./port.ts";

/** Who may be waited for no longer is not waited for any more; a lease lives as long. */
const LEASE_MS = LIMITS.flightWaitMs + 5_000;
/** Taking a lease may delay a turn by so much. */
const TAKE_MS = 100;

interface Airborne {
  readonly cls: PriorityClass;
  readonly until: number;
  /** Whose it is; undefined where it is another host's. A turn whose commit was lost asks again. */
  asker: string | undefined;
  /** Revision of the lease in KV that says so to other hosts; undefined where there is none. */
  leased: number | undefined;
  readonly landed: Promise<void>;
  readonly land: () => void;
}

export interface FlightsOptions {
  readonly log: Log;
  readonly clock: Clock;
  /** True while no other host answers questions: nobody needs to be told. */
  readonly alone: () => boolean;
}

export class Flights {
  readonly #bus: Bus;
  readonly #kv: Kv;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #alone: () => boolean;
  /** In the order in which they began. */
  readonly #airborne = new Map<string, Airborne>();
  readonly #landings: Subscription;

  constructor(bus: Bus, { log, clock, alone }: FlightsOptions) {
    this.#bus = bus;
    this.#kv = new Kv(bus, BUCKETS.cache);
    this.#log = log;
    this.#clock = clock;
    this.#alone = alone;
    this.#landings = bus.subscribe(CORE.cacheLanded, ({ data }) => {
      const key = decode<string>(data);
      // While we hold the lease only we land: what is heard is of a flight before, our own included.
      if (!this.#airborne.get(key)?.leased) this.#end(key);
    });
  }

  /** Never throws; delays by 100 ms at most. Whoever flies already does not wait for himself. */
  async join(tenant: string, fingerprint: string, cls: PriorityClass, asker: string): Promise<Flight> {
    const key = flightKey(tenant, fingerprint);
    const now = this.#clock.now();
    this.#forgetBefore(now);
    const ahead = this.#airborne.get(key);
    if (ahead) return ahead.asker === asker ? { kind: "ask" } : this.#follow(ahead, cls, now);
    // Known before the lease is asked for: the landing of who holds it cannot be missed.
    const own = this.#takeOff(key, cls, now, asker);
    if (this.#alone()) return { kind: "ask" };
    const holder = await this.#lease(key, own);
    if (holder === "us" || holder === "nobody") return { kind: "ask" };
    // Whoever joined meanwhile waits for our landing, which the other host's will be.
    const flight = this.#follow({ ...own, cls: holder }, cls, now);
    if (flight.kind === "wait") own.asker = undefined;
    return flight;
  }

  /** Wakes who waits, here and on other hosts. */
  land(tenant: string, fingerprint: string): void {
    const key = flightKey(tenant, fingerprint);
    const own = this.#airborne.get(key);
    this.#end(key);
    if (own?.leased) this.#free(key, own.leased);
  }

  /** A model may take longer than a lease lives: then it is somebody else's by now. */
  #free(key: string, lease: number): void {
    this.#kv
      .drop(key, lease)
      .then(() => this.#bus.publish(CORE.cacheLanded, encode(key)))
      .catch((err: unknown) => this.#log.warn({ err }, "a flight's lease is left to expire"));
  }

  stop(): void {
    this.#landings.stop();
    for (const key of [...this.#airborne.keys()]) this.#end(key);
  }

  /** Waiting for somebody less urgent would make a turn wait in his place. */
  #follow({ cls: leading, landed, until }: Airborne, cls: PriorityClass, now: number): Flight {
    if (CLASSES.indexOf(leading) > CLASSES.indexOf(cls)) return { kind: "ask" };
    metrics.cache({ level: "flight", result: "joined" });
    return { kind: "wait", landed, untilAt: Math.min(until, now + LIMITS.flightWaitMs) };
  }

  #takeOff(key: string, cls: PriorityClass, now: number, asker: string): Airborne {
    let land: () => void = () => {};
    const landed = new Promise<void>((resolve) => {
      land = resolve;
    });
    const own = { cls, asker, until: now + LEASE_MS, leased: undefined, landed, land };
    this.#airborne.set(key, own);
    return own;
  }

  #end(key: string): void {
    const ended = this.#airborne.get(key);
    this.#airborne.delete(key);
    ended?.land();
  }

  /** The class of whoever holds the lease already, `us`, or `nobody` where the store does not say. */
  async #lease(key: string, own: Airborne): Promise<PriorityClass | "us" | "nobody"> {
    // Taken too late it is ours all the same, and who waits for it elsewhere must hear of the landing.
    const taking = this.#create(key, own).then((holder) => {
      if (own.leased && this.#airborne.get(key) !== own) this.#free(key, own.leased);
      return holder;
    });
    try {
      return (await within(taking, patience(TAKE_MS))) ?? "nobody";
    } catch (err) {
      this.#log.warn({ err }, "no lease for a flight, asking without one");
      return "nobody";
    }
  }

  async #create(key: string, own: Airborne): Promise<PriorityClass | "us" | "nobody"> {
    const value = encode({ cls: own.cls });
    for (let revision = 0, tries = 0; tries < 2; tries++)
      try {
        own.leased = await this.#kv.update(key, value, revision, { ttlMs: LEASE_MS });
        return "us";
      } catch (error) {
        if (!(error instanceof StaleRevision)) throw error;
        const found = await this.#kv.get(key);
        if (found.value) return decode<{ cls: PriorityClass }>(found.value).cls;
        // The marker of a lease that expired.
        revision = found.revision;
      }
    return "nobody";
  }

  #forgetBefore(now: number): void {
    for (const [key, { until }] of this.#airborne) {
      if (until > now) break;
      this.#end(key);
    }
  }
}
