/**
 * Fills the index in memory from VECTORS, and tells up to which change of KNOWLEDGE it has them. A record names its
 * revision, so this process knows by itself which of the changes that it has heard of still miss theirs.
 */
import { VECTORS, vectorsFilter, vectorsMark } from "#contracts/subjects.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { type FollowOptions, keepFollowing } from "#runtime/nats/follow.ts";
import type { Log } from "#runtime/observe/log.ts";
import type { EmbeddedIndex } from "./embedded-index.ts";
import type { DocumentAddress } from "./vector-index.ts";
import { decodeMark, decodeRecord, type VectorRecord } from "./vector-record.ts";

export interface FollowVectors {
  readonly space: string;
  readonly index: EmbeddedIndex;
  readonly log: Log;
  /** After each record that was taken in. */
  readonly onRecord: (record: VectorRecord) => void;
  /** `indexed` may have moved. */
  readonly onMoved: () => void;
}

export interface VectorFollower {
  /** Everything that was there at the start is searchable. */
  readonly caughtUp: boolean;
  /**
   * The vectors of every expected change up to this one are searchable here, Infinity where none is missing; undefined
   * until everything that was there at the start is.
   */
  readonly indexed: number | undefined;
  /** Changes of KNOWLEDGE, in their order. One that is replaced before it had vectors is waited for no more. */
  expect(change: DocumentAddress, revision: number): void;
  /** KNOWLEDGE is another stream: what was expected of it and told of it says nothing, its changes come once more. */
  beginAnew(): void;
  stop(): void;
}

/** Returns at once: words are searched while the vectors are still read. */
export function followVectors(bus: Bus, options: FollowVectors): VectorFollower {
  const { space, index, log, onRecord, onMoved } = options;
  const markSubject = vectorsMark(space);
  /** By document, oldest change first. */
  const missing = new Map<string, number>();
  let marked = 0;
  let caughtUp = false;
  const take = async (data: Uint8Array, seq: number): Promise<void> => {
    const record = decodeRecord(data);
    try {
      // What the stream has last counts: KNOWLEDGE was restored, and gives its numbers out once more.
      if (record && record.revision < (index.revisionOf(record) ?? 0)) index.forget(record);
      if (record) await index.upsert([record]);
      else log.warn({ seq }, "not a record of vectors, skipped");
    } catch (err) {
      log.error({ err, seq }, "vectors not indexed");
    }
    if (!record) return;
    if ((missing.get(keyOf(record)) ?? Number.POSITIVE_INFINITY) <= (index.revisionOf(record) ?? 0))
      missing.delete(keyOf(record));
    onRecord(record);
    onMoved();
  };
  /** What has no record by now gets none. */
  const giveUp = (upTo: number): void => {
    marked = Math.max(marked, upTo);
    for (const [key, revision] of missing) {
      if (revision > marked) break;
      missing.delete(key);
    }
    onMoved();
  };
  const followed: FollowOptions = {
    stream: VECTORS,
    filter: vectorsFilter(space),
    from: "last",
    // One after the other, so that a mark comes after the records before it.
    onMessage: ({ subject, data, seq }) =>
      subject === markSubject ? giveUp(decodeMark(data)?.indexed ?? 0) : take(data, seq),
  };
  const following = keepFollowing(bus, followed, () => {
    caughtUp = true;
    log.info("vectors are searchable");
    onMoved();
  });
  return {
    get caughtUp() {
      return caughtUp;
    },
    get indexed() {
      if (!caughtUp) return undefined;
      const [first] = missing.values();
      return first === undefined ? Number.POSITIVE_INFINITY : first - 1;
    },
    expect(change, revision) {
      const key = keyOf(change);
      missing.delete(key);
      // A higher one is of a change that is still to come, or of a KNOWLEDGE that was restored since.
      if (revision > marked && revision !== index.revisionOf(change)) missing.set(key, revision);
    },
    beginAnew() {
      marked = 0;
      missing.clear();
      onMoved();
    },
    stop: () => following.stop(),
  };
}

// Ids hold no control characters, so this separator cannot occur in them.
const keyOf = ({ tenant, collection, document }: DocumentAddress): string =>
  [tenant, collection, document].join("\n");
