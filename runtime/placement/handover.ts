/**
 * The owner's part of a planned move: it finishes what the partition holds, stops, and only then writes the document
 * that names the next owner. Meanwhile messages wait in the stream for a few milliseconds; nothing is aborted.
 */
import type { ActorHost } from "../actor/host.ts";
import { StaleRevision } from "../nats/connect.ts";
import { metrics } from "../observe/metrics.ts";
import { handedOver, type PlacementDocument, type PlacementStore } from "./document.ts";

export interface HandoverOptions {
  readonly host: ActorHost;
  readonly instance: string;
  readonly store: PlacementStore;
  readonly document: () => PlacementDocument;
  readonly adopt: (document: PlacementDocument) => void;
  readonly reread: () => Promise<void>;
  readonly load: (partition: number) => number;
}

interface Given {
  readonly partition: number;
  readonly epoch: number;
  /** All that was delivered is done. */
  readonly clean: boolean;
}

/**
 * Partitions finished and handed over side by side: each waits for its own mailboxes and for nobody else's. With several
 * replicas the meta leader changes one consumer at a time, and side by side each would wait for all.
 */
const GIVEN_AT_ONCE = 4;
const GIVEN_AT_ONCE_REPLICATED = 1;
/**
 * How long a partition waits for its handlers. Whoever takes longer is run again by the next owner: all others of the
 * partition would wait for it.
 */
const PATIENCE_MS = 250;
/** Without anybody to hand over to, only the end of the process presses. */
const LAST_PATIENCE_MS = 15_000;
const RETRY_MS = 100;
/** A document that cannot be written for so long: the partition is taken again and served. */
const GIVE_UP_MS = 5_000;

export class Handover {
  readonly #options: HandoverOptions;
  /** Under way, with the epoch. The placement must not take them again. */
  readonly #giving = new Map<number, number>();
  #finished: Given[] = [];
  #writing = false;
  #stopped = false;

  constructor(options: HandoverOptions) {
    this.#options = options;
  }

  /** True while this host is giving the partition away at this epoch. */
  gives(partition: number, epoch: number): boolean {
    return this.#giving.get(partition) === epoch;
  }

  /** Goes on with what the document announces; with `everything`, also with what nobody is there to take. */
  run(everything = false): void {
    if (this.#stopped) return;
    const { host, instance, load } = this.#options;
    const atOnce = host.deployment.replicas > 1 ? GIVEN_AT_ONCE_REPLICATED : GIVEN_AT_ONCE;
    const mine = this.#options
      .document()
      .partitions.flatMap(({ owner, next, ...given }, partition) =>
        owner === instance && next !== instance && (next !== undefined || everything)
          ? [{ partition, ...given, next }]
          : [],
      )
      .sort((a, b) => load(b.partition) - load(a.partition));
    for (const { partition, epoch, next, clean = false } of mine) {
      if (!everything && this.#giving.size >= atOnce) return;
      if (!this.#giving.has(partition)) void this.#give({ partition, epoch, clean }, next === undefined);
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  /** What was never taken goes on as it came. */
  async #give({ partition, epoch, clean }: Given, toNobody: boolean): Promise<void> {
    const { host } = this.#options;
    this.#giving.set(partition, epoch);
    const left =
      host.epochOf(partition) === epoch
        ? await host.release(partition, toNobody ? LAST_PATIENCE_MS : PATIENCE_MS)
        : clean;
    this.#finished.push({ partition, epoch, clean: left });
    if (this.#writing) return;
    // What could not be written is taken and served again before it is given away anew.
    if (await this.#write()) this.run();
  }

  /** Whatever finished meanwhile goes into one document. @returns false when some of it could not be written */
  async #write(): Promise<boolean> {
    const { store, document, adopt, reread, host, instance } = this.#options;
    const until = performance.now() + GIVE_UP_MS;
    let written = true;
    this.#writing = true;
    while (this.#finished.length > 0 && !this.#stopped) {
      const batch = this.#finished;
      this.#finished = [];
      const { partitions, revision } = document();
      const given = new Map(
        batch.flatMap(({ partition, epoch, clean }) => {
          const current = partitions[partition];
          return current?.owner === instance && current.epoch === epoch
            ? [[partition, handedOver(current, clean)] as const]
            : [];
        }),
      );
      try {
        if (given.size > 0) {
          const written = await store.write(
            revision,
            partitions.map((a, p) => given.get(p) ?? a),
          );
          metrics.handoffs({}, given.size);
          adopt(written);
        }
      } catch (error) {
        if (error instanceof StaleRevision) await reread();
        else host.log.warn({ err: error }, "partitions not handed over yet, trying again");
        if (performance.now() < until) {
          this.#finished.push(...batch);
          await host.clock.sleep(error instanceof StaleRevision ? 0 : RETRY_MS);
          continue;
        }
        written = false;
      }
      for (const { partition } of batch) this.#giving.delete(partition);
    }
    // In the same breath as the last look: what finishes from now on begins to write by itself.
    this.#writing = false;
    return written;
  }
}
