/**
 * Deletes the shared entries that rest on an older revision of a changed document, by their index keys. Housekeeping:
 * it frees memory early; that nothing stale is served holds without it (answer-cache.ts). One reader for all
 * processes that run this role; repeats and changes out of order delete nothing that is current.
 */
import { decode } from "#contracts/codec.ts";
import { decodeKnowledgeEvent, type KnowledgeEvent } from "#contracts/knowledge.ts";
import { BUCKETS, KNOWLEDGE, KNOWLEDGE_BELL, knowledgeFilter } from "#contracts/subjects.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { readDurably } from "#runtime/nats/durable.ts";
import { Kv } from "#runtime/nats/kv.ts";
import type { Log } from "#runtime/observe/log.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import { dropEntry } from "./entries.ts";
import { dependencyFilter, fingerprintOfKey } from "./key.ts";

/** Changes worked on at once. */
const IN_FLIGHT = 16;

export interface Invalidator {
  /** Stops taking changes and finishes those it holds. */
  stop(): Promise<void>;
  /** Changes not yet handled. */
  waiting(): Promise<number>;
}

/** @throws JetclawError `nats.unavailable` */
export async function startInvalidator(bus: Bus, options: { readonly log: Log }): Promise<Invalidator> {
  const kv = new Kv(bus, BUCKETS.cache);
  return await readDurably(bus, {
    stream: KNOWLEDGE,
    name: "invalidator",
    filter: knowledgeFilter(),
    bell: KNOWLEDGE_BELL.destination,
    inFlight: IN_FLIGHT,
    handle: async ({ data, seq }) => {
      const event = decodeKnowledgeEvent(data);
      if (!event) return options.log.warn({ seq }, "not a knowledge event, skipped");
      await invalidate(kv, event, seq);
    },
  });
}

/** @returns how many entries it deleted */
export async function invalidate(
  kv: Kv,
  changed: Pick<KnowledgeEvent, "tenant" | "collection" | "document">,
  revision: number,
): Promise<number> {
  let deleted = 0;
  for await (const { key, value } of kv.entries(
    dependencyFilter(changed.tenant, changed.collection, changed.document),
  )) {
    if (!value || revisionIn(value) >= revision) continue;
    // The entry before its index key: broken off between the two, the next run finds it again.
    if (await dropEntry(kv, changed.tenant, fingerprintOfKey(key))) deleted++;
    await kv.drop(key);
  }
  if (deleted > 0) metrics.cache({ level: "shared", result: "invalidated" }, deleted);
  return deleted;
}

/** What nobody can read rests on nothing that is current: tried again, it would hold up its document's change for ever. */
function revisionIn(value: Uint8Array): number {
  try {
    return Number(decode<{ revision?: unknown } | null>(value)?.revision) || 0;
  } catch {
    return 0;
  }
}
