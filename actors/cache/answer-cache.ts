/**
 * Answers to questions that were answered before. No entry is believed: before it is served, every document it rests on
 * has to have the revision it had then, by this process's own index. So a late invalidator, a stale replica or a lost
 * event costs a hit, never a stale answer.
 */

import { LRUCache } from "lru-cache";
import { LIMITS } from "#contracts/limits.ts";
import type { PriorityClass } from "#contracts/subjects.ts";
import { type Clock, systemClock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import type { Log } from "#runtime/observe/log.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import { within } from "#runtime/within.ts";
import { type Judgement, judge, type TurnAtHand } from "./cacheability.ts";
import { Entries } from "./entries.ts";
import { type CurrentRevisions, type Entry, entryOf, isCurrent } from "./entry.ts";
import { Flights } from "./flights.ts";
import { fingerprintOf, originOf } from "./key.ts";
import type { AnswerCache, CachedAnswer, CacheQuery, Flight, Hit } from "./port.ts";

/** The store has so long to answer; what is later is a miss. */
const SHARED_MS = 300;
const MEMORY_BYTES = 128 * 1024 * 1024;

export interface AnswerCacheOptions {
  readonly revisions: CurrentRevisions;
  readonly log: Log;
  readonly clock?: Clock;
  /** Bound of what is held in memory. */
  readonly memoryBytes?: number | undefined;
  /** True while no other host answers questions. */
  readonly alone?: () => boolean;
}

export class LeveledCache implements AnswerCache {
  readonly #entries: Entries;
  readonly #flights: Flights;
  readonly #revisions: CurrentRevisions;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #fingerprints = new WeakMap<CacheQuery, string>();
  /** Sessions that were erased here while an answer of theirs may be on its way into the store. */
  readonly #erased = new LRUCache<string, true>({ max: 10_000, ttl: LIMITS.dedupeWindowMs });

  constructor(bus: Bus, options: AnswerCacheOptions) {
    const { revisions, log, clock = systemClock, memoryBytes = MEMORY_BYTES, alone = () => false } = options;
    this.#revisions = revisions;
    this.#log = log;
    this.#clock = clock;
    this.#entries = new Entries(bus, { log, clock, memoryBytes });
    this.#flights = new Flights(bus, { log, clock, alone });
  }

  start(): void {
    this.#entries.start();
  }

  async stop(): Promise<void> {
    this.#flights.stop();
    await this.#entries.stop();
  }

  judge(turn: TurnAtHand): Judgement {
    return judge(turn);
  }

  position(): number {
    return this.#revisions.position;
  }

  async lookup(query: CacheQuery): Promise<Hit | undefined> {
    try {
      return await this.#lookup(query);
    } catch (err) {
      this.#log.warn({ err }, "cache look-up failed");
      return counted("shared", "error");
    }
  }

  async #lookup(query: CacheQuery): Promise<Hit | undefined> {
    const { tenant } = query;
    const id = this.#idOf(query);
    const near = this.#entries.held(tenant, id);
    if (near) {
      if (this.#serves(near, tenant)) return counted("memory", "hit", responseOf(near));
      this.#entries.release(near);
      return counted("memory", "stale");
    }
    const found = await within(
      this.#entries.fetch(tenant, id).then((entry) => entry ?? "absent"),
      SHARED_MS,
    );
    if (found === undefined) return counted("shared", "timeout");
    if (found === "absent") return counted("shared", "miss");
    // Compared after the wait: what counts is what this process knows when it serves.
    if (!this.#serves(found, tenant)) return counted("shared", "stale");
    return counted("shared", "hit", responseOf(found));
  }

  async join(query: CacheQuery, cls: PriorityClass): Promise<Flight> {
    return await this.#flights.join(query.tenant, this.#idOf(query), cls);
  }

  async store(query: CacheQuery, answer: CachedAnswer, session: string): Promise<void> {
    try {
      counted("shared", await this.#store(query, answer, originOf(query.tenant, session)));
    } catch (err) {
      this.#log.warn({ err }, "answer not cached");
      counted("shared", "error");
    } finally {
      this.giveUp(query);
    }
  }

  async #store(query: CacheQuery, answer: CachedAnswer, origin: string): Promise<string> {
    // An answer that cites nothing rests on nothing: no change could ever end it.
    if (answer.citations.length === 0) return "uncited";
    const entry = entryOf(this.#idOf(query), query, answer, origin, this.#clock.now());
    const holds = (): boolean => this.#serves(entry, query.tenant) && !this.#erased.has(origin);
    return holds() ? await this.#entries.put(entry, holds) : "outdated";
  }

  giveUp(query: CacheQuery): void {
    this.#flights.land(query.tenant, this.#idOf(query));
  }

  async forget(tenant: string, session: string): Promise<void> {
    const origin = originOf(tenant, session);
    this.#erased.set(origin, true);
    const removed = await this.#entries.removeOrigin(tenant, origin);
    if (removed > 0) metrics.cache({ level: "shared", result: "erased" }, removed);
  }

  #serves(entry: Entry, tenant: string): boolean {
    return isCurrent(entry, tenant, this.#revisions);
  }

  #idOf(query: CacheQuery): string {
    let id = this.#fingerprints.get(query);
    if (id === undefined) {
      id = fingerprintOf(query);
      this.#fingerprints.set(query, id);
    }
    return id;
  }
}

const responseOf = ({ answer, id }: Entry): Hit => ({ answer, level: "response", entry: id });

type Level = "memory" | "shared";

function counted<T>(level: Level, result: string, found?: T): T | undefined {
  metrics.cache({ level, result });
  return found;
}
