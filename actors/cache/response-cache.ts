/**
 * Answers to identical requests, in this process (level `memory`) and in KV `cache` for all (level `shared`).
 * No level is believed: before an entry is served, every document it rests on has to have the revision it had then, by
 * this process's own index. So a late invalidator or a stale replica costs a miss, never a stale answer.
 */
import { LRUCache } from "lru-cache";
import { decode, encode } from "#contracts/codec.ts";
import { LIMITS } from "#contracts/limits.ts";
import { BUCKETS } from "#contracts/subjects.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { Kv } from "#runtime/nats/kv.ts";
import type { Log } from "#runtime/observe/log.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import { within } from "#runtime/within.ts";
import { type Dependency, dependencyKey, entryKey, fingerprintOf } from "./key.ts";
import type { CachedAnswer, CacheQuery, ResponseCache } from "./port.ts";

const ENTRY_VERSION = 1;
/** The shared level has so long to answer; what is later is a miss. */
const SHARED_MS = 300;
const MEMORY_BYTES = 64 * 1024 * 1024;
/** A larger answer is not kept: one must not drive out thousands. */
const ENTRY_BYTES = 256 * 1024;

/** What this process knows of the documents now: its retriever. */
export interface CurrentRevisions {
  revisionOf(tenant: string, collection: string, document: string): number | undefined;
  /** False while changes may have passed unnoticed: nothing is served or kept then. */
  fresh(): boolean;
}

export interface ResponseCacheOptions {
  readonly revisions: CurrentRevisions;
  readonly log: Log;
  /** Bound of the level in memory. */
  readonly memoryBytes?: number;
}

interface Entry {
  readonly v: number;
  readonly tenant: string;
  readonly answer: CachedAnswer;
  readonly dependencies: readonly Dependency[];
}

type Level = "memory" | "shared";

export function createResponseCache(bus: Bus, options: ResponseCacheOptions): ResponseCache {
  return new TwoLevelCache(bus, options);
}

class TwoLevelCache implements ResponseCache {
  readonly #kv: Kv;
  readonly #revisions: CurrentRevisions;
  readonly #log: Log;
  readonly #memory: LRUCache<string, Entry>;

  constructor(bus: Bus, { revisions, log, memoryBytes = MEMORY_BYTES }: ResponseCacheOptions) {
    this.#kv = new Kv(bus, BUCKETS.cache);
    this.#revisions = revisions;
    this.#log = log;
    this.#memory = new LRUCache({ maxSize: memoryBytes, maxEntrySize: ENTRY_BYTES, ttl: LIMITS.cacheAgeMs });
  }

  async lookup(query: CacheQuery): Promise<CachedAnswer | undefined> {
    try {
      const key = entryKey(query.tenant, fingerprintOf(query));
      const near = this.#memory.get(key);
      if (near) {
        if (this.#serves(near, query.tenant)) return counted("memory", "hit", near.answer);
        this.#memory.delete(key);
        return counted("memory", "stale");
      }
      return await this.#lookupShared(key, query.tenant);
    } catch (err) {
      this.#log.warn({ err }, "cache look-up failed");
      return counted("shared", "error");
    }
  }

  async #lookupShared(key: string, tenant: string): Promise<CachedAnswer | undefined> {
    const data = await within(
      this.#kv.get(key).then(({ value }) => value ?? "absent"),
      SHARED_MS,
    );
    if (data === undefined) return counted("shared", "timeout");
    if (data === "absent") return counted("shared", "miss");
    const entry = decode<Entry>(data);
    // Compared after the wait: what counts is what this process knows when it serves.
    if (entry.v !== ENTRY_VERSION || !this.#serves(entry, tenant)) return counted("shared", "stale");
    this.#remember(key, entry, data.length);
    return counted("shared", "hit", entry.answer);
  }

  async store(query: CacheQuery, answer: CachedAnswer): Promise<void> {
    try {
      // An answer that cites nothing rests on nothing: no change could ever end it.
      if (answer.citations.length === 0) return void counted("shared", "uncited");
      const fingerprint = fingerprintOf(query);
      const entry: Entry = {
        v: ENTRY_VERSION,
        tenant: query.tenant,
        answer: { reply: answer.reply, citations: answer.citations, model: answer.model },
        dependencies: dependenciesOf([...answer.citations, ...query.passages]),
      };
      const data = encode(entry);
      if (data.length > ENTRY_BYTES) return void counted("shared", "too-large");
      if (!this.#serves(entry, query.tenant)) return void counted("shared", "outdated");
      const key = entryKey(query.tenant, fingerprint);
      // A copy of its own: nobody who holds the answer can change the entry.
      this.#remember(key, decode<Entry>(data), data.length);
      await this.#share(key, fingerprint, entry, data);
      counted("shared", "stored");
    } catch (err) {
      this.#log.warn({ err }, "answer not cached");
      counted("shared", "error");
    }
  }

  /** The index keys first: an entry that is there can be found by what it depends on. */
  async #share(key: string, fingerprint: string, entry: Entry, data: Uint8Array): Promise<void> {
    const ttlMs = LIMITS.cacheAgeMs;
    await Promise.all(
      entry.dependencies.map((on) =>
        this.#kv.put(dependencyKey(entry.tenant, on, fingerprint), encode({ revision: on.revision }), {
          ttlMs,
        }),
      ),
    );
    await this.#kv.put(key, data, { ttlMs });
    // The invalidator may have passed between the two writes.
    if (!this.#serves(entry, entry.tenant)) await this.#kv.drop(key);
  }

  #remember(key: string, entry: Entry, bytes: number): void {
    // Objects take about three times the room of their encoding.
    this.#memory.set(key, entry, { size: 3 * bytes });
  }

  #serves(entry: Entry, tenant: string): boolean {
    return (
      entry.tenant === tenant &&
      this.#revisions.fresh() &&
      entry.dependencies.every(
        (on) => this.#revisions.revisionOf(tenant, on.collection, on.document) === on.revision,
      )
    );
  }
}

/** Each document and revision once. The same document at two revisions stays twice, and serves never. */
function dependenciesOf(sources: readonly Dependency[]): Dependency[] {
  const unique = new Map<string, Dependency>();
  for (const { collection, document, revision } of sources)
    unique.set(JSON.stringify([collection, document, revision]), { collection, document, revision });
  return [...unique.values()];
}

function counted<T>(level: Level, result: string, answer?: T): T | undefined {
  metrics.cache({ level, result });
  return answer;
}
