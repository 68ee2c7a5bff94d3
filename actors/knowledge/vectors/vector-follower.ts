/** Fills the index in memory from VECTORS, and tells how far it has come once it had caught up. */
import { VECTORS, vectorsFilter, vectorsMark } from "#contracts/subjects.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { follow } from "#runtime/nats/reader.ts";
import type { Log } from "#runtime/observe/log.ts";
import type { VectorIndex } from "./vector-index.ts";
import { decodeMark, decodeRecord, type VectorRecord } from "./vector-record.ts";

export interface FollowVectors {
  readonly space: string;
  readonly index: VectorIndex;
  readonly log: Log;
  /** After each record that was taken in. */
  readonly onRecord: (record: VectorRecord) => void;
  /** `indexed` has moved. */
  readonly onMark: () => void;
}

export interface VectorFollower {
  /** Everything that was there at the start is searchable. */
  readonly caughtUp: boolean;
  /**
   * The vectors of every change of KNOWLEDGE up to this one are searchable here; undefined until everything that was
   * there at the start is, and where no indexer has said so yet.
   */
  readonly indexed: number | undefined;
  stop(): Promise<void>;
}

/** Returns at once: words are searched while the vectors are still read. */
export function followVectors(bus: Bus, options: FollowVectors): VectorFollower {
  const { space, index, log, onRecord, onMark } = options;
  const mark = vectorsMark(space);
  let indexed: number | undefined;
  let caughtUp = false;
  const apply = async (data: Uint8Array, seq: number): Promise<void> => {
    const record = decodeRecord(data);
    try {
      if (record) await index.upsert([record]);
      else log.warn({ seq }, "not a record of vectors, skipped");
    } catch (err) {
      log.error({ err, seq }, "vectors not indexed");
    }
    if (record) onRecord(record);
  };
  const following = follow(bus, {
    stream: VECTORS,
    filter: vectorsFilter(space),
    from: "last",
    // One after the other, so that a mark comes after the records before it.
    onMessage: ({ subject, data, seq }) => {
      if (subject !== mark) return apply(data, seq);
      indexed = Math.max(indexed ?? 0, decodeMark(data)?.indexed ?? 0);
      onMark();
      return undefined;
    },
  });
  following.then(
    () => {
      caughtUp = true;
      log.info({ indexed }, "vectors are searchable");
    },
    (err) => log.error({ err }, "vectors cannot be followed, words are searched alone"),
  );
  return {
    get caughtUp() {
      return caughtUp;
    },
    get indexed() {
      return caughtUp ? indexed : undefined;
    },
    async stop() {
      await following.then(
        (follower) => follower.stop(),
        () => {},
      );
    },
  };
}
