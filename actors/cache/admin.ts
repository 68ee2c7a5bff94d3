/** The operator's side of the caches: what the hosts hold, why a question is or is not answered from them, removal. */
import { decode, encode } from "#contracts/codec.ts";
import { JetclawError } from "#contracts/errors.ts";
import { BUCKETS, bucketStream, CORE } from "#contracts/subjects.ts";
import type { Clock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { Kv } from "#runtime/nats/kv.ts";
import { streamState } from "#runtime/nats/reader.ts";
import { removeEntry } from "./entries.ts";
import type { CacheAdmin, CacheHostStatus, CacheStatus, ExplainAsk, Explanation } from "./port.ts";

/** Hosts say what they hold at once; who has not by then is busy or gone. */
const HEARD_MS = 500;
const EXPLAIN_MS = 10_000;

export function createCacheAdmin(bus: Bus, clock: Clock): CacheAdmin {
  const kv = new Kv(bus, BUCKETS.cache);
  return {
    async status(): Promise<CacheStatus> {
      const hosts: CacheHostStatus[] = [];
      const inbox = bus.inbox();
      const replies = bus.subscribe(inbox, ({ data }) => void hosts.push(decode<CacheHostStatus>(data)));
      try {
        bus.publish(CORE.cacheStatus, encode({ replyTo: inbox }));
        const [{ messages, bytes }] = await Promise.all([
          streamState(bus, bucketStream(BUCKETS.cache)),
          clock.sleep(HEARD_MS),
        ]);
        hosts.sort((a, b) => a.instance.localeCompare(b.instance));
        return { at: clock.now(), keys: messages, bytes, hosts };
      } finally {
        replies.stop();
      }
    },
    remove: (tenant, id) => removeEntry(kv, clock, tenant, id, { ban: true }),
    async explain(asked: ExplainAsk): Promise<Explanation> {
      const answer = await bus
        .request(CORE.cacheExplain, encode(asked), EXPLAIN_MS)
        .catch((cause: unknown) => {
          throw new JetclawError("cache.unknown", undefined, { cause });
        });
      return decode<Explanation>(answer);
    },
  };
}

/** A host answers what the operator asks of all. */
export function serveCacheStatus(bus: Bus, status: () => CacheHostStatus): { stop(): void } {
  return bus.subscribe(CORE.cacheStatus, ({ data }) => {
    bus.publish(decode<{ replyTo: string }>(data).replyTo, encode(status()));
  });
}

/** One of the hosts answers; what it cannot answer is left to the asker's patience. */
export function serveExplanations(
  bus: Bus,
  explain: (asked: ExplainAsk) => Promise<Explanation>,
): { stop(): void } {
  return bus.subscribe(
    CORE.cacheExplain,
    ({ data, respond }) => {
      explain(decode<ExplainAsk>(data))
        .then((explanation) => respond(encode(explanation)))
        .catch((err: unknown) => bus.log.warn({ err }, "a question's caching cannot be explained"));
    },
    { queue: "cache" },
  );
}
