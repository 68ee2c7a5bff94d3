/** The placement document: per partition its owner and epoch, written only by compare-and-set. */
import { decode, encode } from "#contracts/codec.ts";
import { PARTITIONS } from "#contracts/ids.ts";
import { BUCKETS } from "#contracts/subjects.ts";
import type { Bus } from "../nats/connect.ts";
import { Kv } from "../nats/kv.ts";

export const PLACEMENT_KEY = "partitions";

export interface Assignment {
  /** Instance of the host; undefined before the first host came. */
  readonly owner: string | undefined;
  /** Grows with every change of owner, never reused. */
  readonly epoch: number;
}

export interface PlacementDocument {
  readonly partitions: readonly Assignment[];
  /** KV revision; 0 before the first document. */
  readonly revision: number;
}

const EMPTY: readonly Assignment[] = Array.from({ length: PARTITIONS }, () => ({
  owner: undefined,
  epoch: 0,
}));

export class PlacementStore {
  readonly #kv: Kv;

  constructor(bus: Bus) {
    this.#kv = new Kv(bus, BUCKETS.placement);
  }

  /** The document as the stream's leader has it. @throws JetclawError `nats.unavailable` */
  async read(): Promise<PlacementDocument> {
    const entry = await this.#kv.getFromLeader(PLACEMENT_KEY);
    return toDocument(entry.value, entry.revision);
  }

  /** Writes the next owners over a document; epochs grow where the owner changes. @throws StaleRevision */
  async write(
    document: PlacementDocument,
    owners: readonly (string | undefined)[],
  ): Promise<PlacementDocument> {
    const partitions = document.partitions.map((current, p) =>
      current.owner === owners[p] ? current : { owner: owners[p], epoch: current.epoch + 1 },
    );
    const revision = await this.#kv.update(
      PLACEMENT_KEY,
      encode(partitions.map((a) => [a.owner ?? null, a.epoch])),
      document.revision,
    );
    return { partitions, revision };
  }

  /** Calls back on changes: a hint that says "read". */
  watch(onDocument: (document: PlacementDocument) => void): Promise<{ stop(): void }> {
    return this.#kv.watch(PLACEMENT_KEY, (entry) => onDocument(toDocument(entry.value, entry.revision)));
  }
}

function toDocument(value: Uint8Array | undefined, revision: number): PlacementDocument {
  if (!value) return { partitions: EMPTY, revision };
  const partitions = decode<[string | null, number][]>(value).map(([owner, epoch]) => ({
    owner: owner ?? undefined,
    epoch,
  }));
  return { partitions, revision };
}
