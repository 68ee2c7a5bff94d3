/** Fills the index in memory from VECTORS, and tells how far it has come once it had caught up. */
import { VECTORS, vectorsFilter } from "#contracts/subjects.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { follow } from "#runtime/nats/reader.ts";
import type { Log } from "#runtime/observe/log.ts";
import type { VectorIndex } from "./vector-index.ts";
import { decodeRecord, type VectorRecord } from "./vector-record.ts";

export interface FollowVectors {
  readonly space: string;
  readonly index: VectorIndex;
  readonly log: Log;
  /** After each record that was taken in. */
  readonly onRecord: (record: VectorRecord) => void;
}

export interface VectorFollower {
  /** Last sequence of VECTORS that is searchable here; undefined until everything that was there at the start is. */
  readonly position: number | undefined;
  stop(): Promise<void>;
}

/** Returns at once: words are searched while the vectors are still read. */
export function followVectors(bus: Bus, { space, index, log, onRecord }: FollowVectors): VectorFollower {
  let position = 0;
  let caughtUp = false;
  const apply = async (data: Uint8Array, seq: number): Promise<void> => {
    const record = decodeRecord(data);
    try {
      if (record) await index.upsert([record]);
      else log.warn({ seq }, "not a record of vectors, skipped");
    } catch (err) {
      log.error({ err, seq }, "vectors not indexed");
    }
    position = Math.max(position, seq);
    if (record) onRecord(record);
  };
  const following = follow(bus, {
    stream: VECTORS,
    filter: vectorsFilter(space),
    from: "last",
    // The index in memory is done when the call returns: records stay in order.
    onMessage: ({ data, seq }) => void apply(data, seq),
  });
  following.then(
    () => {
      caughtUp = true;
      log.info({ vectors: position }, "vectors are searchable");
    },
    (err) => log.error({ err }, "vectors cannot be followed, words are searched alone"),
  );
  return {
    get position() {
      return caughtUp ? position : undefined;
    },
    async stop() {
      await following.then(
        (follower) => follower.stop(),
        () => {},
      );
    },
  };
}
