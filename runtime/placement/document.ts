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
  /** Who gets it next: announced, so that the owner finishes what it holds and hands it over itself. */
  readonly next?: string;
  /** The owner before gave it away by itself: nothing that it left behind can have killed it. */
  readonly clean?: boolean;
}

export interface PlacementDocument {
  readonly partitions: readonly Assignment[];
  /** KV revision; 0 before the first document. */
  readonly revision: number;
}

/** As it is stored. */
type Stored = [owner: string | null, epoch: number, next?: string | null, clean?: boolean];

const EMPTY: readonly Assignment[] = Array.from({ length: PARTITIONS }, () => ({
  owner: undefined,
  epoch: 0,
}));

/** Takes a partition away, whatever its owner is doing. */
export const moved = ({ epoch }: Assignment, owner: string | undefined): Assignment => ({
  owner,
  epoch: epoch + 1,
});

/** Says who gets it next; undefined takes an announcement back. */
export function announced({ next: _, ...assignment }: Assignment, next: string | undefined): Assignment {
  return next === undefined ? assignment : { ...assignment, next };
}

/** The owner gives it to whom it was announced, or to nobody. */
export const handedOver = ({ epoch, next }: Assignment, clean: boolean): Assignment => ({
  owner: next,
  epoch: epoch + 1,
  ...(clean ? { clean } : {}),
});

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

  /** Writes the next assignments over a document. @throws StaleRevision */
  async write(revision: number, partitions: readonly Assignment[]): Promise<PlacementDocument> {
    const stored = partitions.map(
      ({ owner = null, epoch, next = null, clean = false }): Stored =>
        clean ? [owner, epoch, next, clean] : next === null ? [owner, epoch] : [owner, epoch, next],
    );
    return { partitions, revision: await this.#kv.update(PLACEMENT_KEY, encode(stored), revision) };
  }

  /** Calls back on changes: a hint that says "read". */
  watch(onDocument: (document: PlacementDocument) => void): Promise<{ stop(): void }> {
    return this.#kv.watch(PLACEMENT_KEY, (entry) => onDocument(toDocument(entry.value, entry.revision)));
  }
}

function toDocument(value: Uint8Array | undefined, revision: number): PlacementDocument {
  if (!value) return { partitions: EMPTY, revision };
  const partitions = decode<Stored[]>(value).map(
    ([owner, epoch, next, clean]): Assignment => ({
      owner: owner ?? undefined,
      epoch,
      ...(next ? { next } : {}),
      ...(clean ? { clean } : {}),
    }),
  );
  return { partitions, revision };
}
