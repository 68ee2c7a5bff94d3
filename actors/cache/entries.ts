/**
 * The entries of all hosts: KV `cache` holds them for a day, each host has those that fit its memory. A host hears of new
 * ones and of removals by following the bucket; what it hears late costs a hit, since nothing is served unchecked, and a
 * removal is obeyed at the latest when the follower has caught up.
 */
import { LRUCache } from "lru-cache";
import { decode, encode } from "#contracts/codec.ts";
import { LIMITS } from "#contracts/limits.ts";
import { BUCKETS, bucketStream, bucketSubject } from "#contracts/subjects.ts";
import type { Clock } from "#runtime/clock.ts";
import { type Bus, StaleRevision } from "#runtime/nats/connect.ts";
import { keepFollowing } from "#runtime/nats/follow.ts";
import { Kv } from "#runtime/nats/kv.ts";
import type { StoredMessage } from "#runtime/nats/reader.ts";
import { decodeEntry, type Entry, encodeEntry } from "./entry.ts";
import {
  banKey,
  dependencyKey,
  entryKey,
  erasureKey,
  fingerprintOfKey,
  originKey,
  removalKey,
} from "./key.ts";

/** A larger answer is not kept: one must not drive out thousands. */
export const ENTRY_BYTES = 256 * 1024;
/** Objects take about three times the room of their encoding. */
const MEMORY_FACTOR = 3;
/** An answer that an operator removed is not kept again for so long. */
const BANNED_MS = 3_600_000;
const REMEMBERED_REMOVALS = 10_000;

/** What a marker holds: when it was written, ms since the epoch. */
interface Marker {
  readonly at: number;
}

interface Held {
  readonly entry: Entry;
  /** Its sequence in the bucket, where removals have theirs; 0 until the store has acknowledged it. */
  seq: number;
}

export interface EntriesOptions {
  readonly clock: Clock;
  /** Bound of what this process holds. */
  readonly memoryBytes: number;
  /** How long an answer may take to come in: checks are the last. 10 minutes when left out, and never less. */
  readonly answersMs?: number | undefined;
  /** An entry came into memory, or left it for whatever reason. */
  readonly onAdded?: (entry: Entry) => void;
  readonly onRemoved?: (entry: Entry) => void;
}

export class Entries {
  readonly #bus: Bus;
  readonly #kv: Kv;
  readonly #clock: Clock;
  readonly #onAdded: ((entry: Entry) => void) | undefined;
  readonly #held: LRUCache<string, Held>;
  /** Sequence of the last removal, by key of the entry. */
  readonly #removals = new LRUCache<string, number>({ max: REMEMBERED_REMOVALS });
  /** Keys of answers that must not come back, until when. */
  readonly #banned = new LRUCache<string, number>({ max: REMEMBERED_REMOVALS });
  /** Keys of erased sessions, of which an answer may still be on its way into the store. */
  readonly #erased: LRUCache<string, true>;
  readonly #erasedMs: number;
  #follower: { stop(): void } | undefined;

  constructor(bus: Bus, { clock, memoryBytes, answersMs = 0, onAdded, onRemoved }: EntriesOptions) {
    this.#bus = bus;
    this.#kv = new Kv(bus, BUCKETS.cache);
    this.#clock = clock;
    this.#onAdded = onAdded;
    this.#erasedMs = 2 * Math.max(LIMITS.dedupeWindowMs, answersMs);
    this.#erased = new LRUCache({ max: REMEMBERED_REMOVALS, ttl: this.#erasedMs });
    this.#held = new LRUCache({
      maxSize: memoryBytes,
      maxEntrySize: ENTRY_BYTES * MEMORY_FACTOR,
      ttl: LIMITS.cacheAgeMs,
      ...(onRemoved ? { dispose: ({ entry }: Held) => onRemoved(entry) } : {}),
    });
  }

  /** Begins to follow, however long the store takes to answer. */
  start(): void {
    this.#follower = keepFollowing(this.#bus, {
      stream: bucketStream(BUCKETS.cache),
      filter: ["a.>", "b.>", "e.>", "r.>"].map((keys) => bucketSubject(BUCKETS.cache, keys)),
      from: "last",
      onMessage: (message) => this.#hear(message),
      // Removals are compared with entries by sequences, which are given out anew.
      onAnew: () => {
        this.#held.clear();
        this.#removals.clear();
      },
    });
  }

  stop(): void {
    this.#follower?.stop();
  }

  get size(): number {
    return this.#held.size;
  }

  /** In memory only. */
  held(tenant: string, id: string): Entry | undefined {
    return this.#held.get(entryKey(tenant, id))?.entry;
  }

  /** From the store, into memory. @throws JetclawError `nats.unavailable` */
  async fetch(tenant: string, id: string): Promise<Entry | undefined> {
    const key = entryKey(tenant, id);
    const { value, revision } = await this.#kv.get(key);
    return value && this.#take(key, value, revision);
  }

  /** Out of this host's memory: it is not current. */
  release({ tenant, id }: Entry): void {
    this.#held.delete(entryKey(tenant, id));
  }

  /**
   * Memory first, then the index keys, then the entry: one that is there can be found by what it depends on.
   * `holds` is asked again after the writes: the invalidator or an erasure may have passed between them.
   * @throws JetclawError `nats.unavailable`
   */
  async put(entry: Entry, holds: () => boolean): Promise<"stored" | "too-large" | "removed" | "outdated"> {
    const data = encodeEntry(entry);
    const { tenant, id, origin, dependencies } = entry;
    if (data.length > ENTRY_BYTES) return "too-large";
    if (this.#isBanned(entry)) return "removed";
    const key = entryKey(tenant, id);
    // A copy of its own: nobody who holds the answer can change the entry.
    this.#take(key, data, 0);
    const ttlMs = LIMITS.cacheAgeMs;
    let seq: number | undefined;
    try {
      await Promise.all([
        this.#kv.put(originKey(tenant, origin, id), encode({ at: entry.at }), { ttlMs }),
        ...dependencies.map((on) =>
          this.#kv.put(dependencyKey(tenant, on, id), encode({ revision: on.revision }), { ttlMs }),
        ),
      ]);
      seq = await this.#putUnlessErased(key, data, erasureKey(tenant, origin));
    } catch (error) {
      // Without its keys an erasure would not find it here.
      if (this.#held.peek(key)?.seq === 0) this.#held.delete(key);
      throw error;
    }
    const banned = this.#isBanned(entry);
    if (seq !== undefined && holds() && !banned) return this.#take(key, data, seq) ? "stored" : "removed";
    this.#held.delete(key);
    if (seq === undefined) await dropIndex(this.#kv, entry);
    else await dropEntry(this.#kv, tenant, id);
    return banned ? "removed" : "outdated";
  }

  /**
   * An erasure that was written before the entry may not have been heard here: the store itself refuses the entry then. One
   * that comes after it finds it. @returns its sequence; undefined where the session was erased
   */
  async #putUnlessErased(key: string, data: Uint8Array, erasure: string): Promise<number | undefined> {
    for (let revision = 0; ; ) {
      try {
        const ttlMs = LIMITS.cacheAgeMs;
        return await this.#kv.putWhile(key, data, { key: erasure, revision }, { ttlMs });
      } catch (error) {
        if (!(error instanceof StaleRevision)) throw error;
      }
      const there = await this.#kv.getFromLeader(erasure);
      if (there.value) return void this.#erased.set(erasure, true);
      // What an expired one has left.
      revision = there.revision;
    }
  }

  /** All that a session caused. @returns how many @throws JetclawError `nats.unavailable` */
  async removeOrigin(tenant: string, origin: string): Promise<number> {
    const erasure = erasureKey(tenant, origin);
    this.#erased.set(erasure, true);
    // Before they are listed: what another host keeps after that, it asks for this and removes again.
    await this.#kv.put(erasure, encode({ at: this.#clock.now() } satisfies Marker), {
      ttlMs: this.#erasedMs,
    });
    const filter = originKey(tenant, origin, "*");
    let removed = 0;
    // By the leader: a replica may lack what was kept a moment ago.
    for (const key of await this.#kv.keys(filter)) {
      await removeEntry(this.#kv, this.#clock, tenant, fingerprintOfKey(key), { ban: false });
      removed++;
    }
    if (removed > 0) await this.#kv.drop(filter);
    return removed;
  }

  /** The session was erased, here or on another host. */
  isErased(tenant: string, origin: string): boolean {
    return this.#erased.has(erasureKey(tenant, origin));
  }

  #hear({ subject, data, seq }: StoredMessage): void {
    const key = subject.slice(bucketSubject(BUCKETS.cache, "").length);
    // The marker of an expiry has no data.
    if (data.length === 0) return void this.#held.delete(key);
    if (key.startsWith("e.")) return void this.#erased.set(key, true);
    if (key.startsWith("b.")) return void this.#banned.set(key, decode<Marker>(data).at + BANNED_MS);
    if (key.startsWith("r.")) return this.#obey(key, seq);
    this.#take(key, data, seq);
  }

  #obey(marker: string, seq: number): void {
    const key = `a${marker.slice(1)}`;
    this.#removals.set(key, seq);
    const held = this.#held.get(key);
    if (held && held.seq < seq) this.#held.delete(key);
  }

  #isBanned({ tenant, answer }: Entry): boolean {
    if (this.#banned.size === 0) return false;
    const until = answer && this.#banned.get(banKey(tenant, answer.reply));
    return until !== undefined && until > this.#clock.now();
  }

  /** Into memory, unless it or its answer was removed since, or its session erased, or it is too old, or another version's. */
  #take(key: string, data: Uint8Array, seq: number): Entry | undefined {
    if (seq > 0 && (this.#removals.get(key) ?? 0) > seq) return undefined;
    const held = this.#held.get(key);
    // Our own, acknowledged or heard of by following: the same entry.
    if (held?.seq === 0) held.seq = seq;
    if (held && held.seq >= seq) return held.entry;
    const entry = decodeEntry(data);
    if (!entry || this.isErased(entry.tenant, entry.origin) || this.#isBanned(entry)) return undefined;
    const ttl = entry.at + LIMITS.cacheAgeMs - this.#clock.now();
    if (ttl <= 0) return undefined;
    this.#held.set(key, { entry, seq }, { size: MEMORY_FACTOR * data.length, ttl });
    this.#onAdded?.(entry);
    return entry;
  }
}

/**
 * From every host, for good: each hears of it by following. False when there is no such entry.
 * @throws JetclawError `nats.unavailable`
 */
export async function removeEntry(
  kv: Kv,
  clock: Clock,
  tenant: string,
  id: string,
  { ban }: { readonly ban: boolean },
): Promise<boolean> {
  const entry = await dropEntry(kv, tenant, id);
  const marker = encode({ at: clock.now() } satisfies Marker);
  // By its own key: the same entry may be removed again, where it is gone or has another answer.
  if (ban && entry?.answer) await kv.put(banKey(tenant, entry.answer.reply), marker, { ttlMs: BANNED_MS });
  // After the entry is gone: whoever read it before hears of this later. Also where it was gone: hosts may hold it.
  await kv.put(removalKey(tenant, id), marker, { ttlMs: LIMITS.cacheAgeMs });
  return entry !== undefined;
}

/**
 * Out of the store with all keys that lead to it. The entry goes first: broken off, what is left leads nowhere and
 * expires.
 * @throws JetclawError `nats.unavailable`
 */
export async function dropEntry(kv: Kv, tenant: string, id: string): Promise<Entry | undefined> {
  const key = entryKey(tenant, id);
  const { value } = await kv.getFromLeader(key);
  if (!value) return undefined;
  await kv.drop(key);
  const entry = decodeEntry(value);
  if (!entry) return undefined;
  await dropIndex(kv, entry);
  return entry;
}

async function dropIndex(kv: Kv, { tenant, origin, id, dependencies }: Entry): Promise<void> {
  await Promise.all([
    kv.drop(originKey(tenant, origin, id)),
    ...dependencies.map((on) => kv.drop(dependencyKey(tenant, on, id))),
  ]);
}
