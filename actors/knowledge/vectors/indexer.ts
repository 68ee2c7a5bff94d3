/**
 * Turns changes of KNOWLEDGE into vectors: passages, embedded in batches, a record in VECTORS, points in Qdrant where
 * that is the index. One durable reader for all processes that run this role. The record is written by compare-and-set
 * and never by an older revision, so repeats and changes out of order are harmless. Who follows the records knows by them
 * what is there; a mark behind them, now and then, says up to which change there is nothing more to come.
 *
 *   KNOWLEDGE ─► passages ─► embed what is new ─► record (compare-and-set) ─► Qdrant ─► ack ─► beat: passed ─► mark
 *                  ▲ older than the record: ack       │ stale: once more        │ newer meanwhile: take out
 *                  ├── replaced while it waits: not embedded, ack
 *                  ├── embeddings or Qdrant away: wait, try again; told as failing, nobody waits for vectors
 *                  ├── the model gives vectors of another length: the same, told with what to do, tried once a minute and
 *                  │   as soon as the records are of another length
 *                  └── this document refused, others not: a dead letter, ack
 */
import { setTimeout as sleep } from "node:timers/promises";
import { JetclawError } from "#contracts/errors.ts";
import { decodeKnowledgeEvent, type KnowledgeEvent } from "#contracts/knowledge.ts";
import {
  indexerConsumer,
  KNOWLEDGE,
  KNOWLEDGE_BELL,
  knowledgeFilter,
  vectorsMark,
  vectorsSubject,
} from "#contracts/subjects.ts";
import { type Bus, StaleRevision } from "#runtime/nats/connect.ts";
import { type DurableReader, readDurably } from "#runtime/nats/durable.ts";
import type { Pulled } from "#runtime/nats/pull.ts";
import type { Log } from "#runtime/observe/log.ts";
import { announce } from "#runtime/observe/presence.ts";
import { untilPulse } from "#runtime/pulse.ts";
import { within } from "#runtime/within.ts";
import type { Embedder } from "../port.ts";
import { INDEXER_ROLE } from "../readers.ts";
import { takeIn } from "./apart.ts";
import { Coalescer } from "./coalescer.ts";
import { isFormer } from "./former.ts";
import { giveUp, isMisfit, isRefusal } from "./given-up.ts";
import { HeldChanges } from "./held-changes.ts";
import { recordOf } from "./passage-vectors.ts";
import { refill } from "./refill.ts";
import { dimensionsOf } from "./spaces.ts";
import { PROBE, TextBatches } from "./text-batches.ts";
import { nextOf, unfinishedOf } from "./unfinished.ts";
import {
  assertDimension,
  type DocumentAddress,
  type VectorDocument,
  type VectorIndex,
} from "./vector-index.ts";
import { encodeMark, encodeRecord, lastRecord, type VectorRecord } from "./vector-record.ts";

/** Changes worked on at once. */
const IN_FLIGHT = 64;
const UPSERT_DOCUMENTS = 32;
/** A start waits so long to learn how far indexers are. */
const KNOWN_MS = 5_000;
/** A start waits so long for embeddings, which may be away. */
const WARM_MS = 1_000;
/** So seldom that it costs nothing beside changes, and soon enough for who waits for a document that has no vectors. */
const MARK_MS = 500;
/** While embeddings or Qdrant are away, held changes are tried again this often. */
const RETRY_FIRST_MS = 500;
const RETRY_MOST_MS = 5_000;
/** Where nothing changes, nobody else notices that the index was emptied. */
const LOOK_MS = 8_000;
/**
 * Only an operator ends that the model's vectors do not fit, and until then every try may be paid for. Looking whether the
 * records have been made anew costs nothing.
 */
const MISFIT_RETRY_MS = 60_000;
const MISFIT_LOOK_MS = 2_000;
/** It is tried so often: those who wait for other documents wait for it meanwhile. */
const MOST_REFUSALS = 3;

export interface IndexerOptions {
  readonly instance: string;
  readonly log: Log;
  readonly embedder: Embedder;
  /** Names the vectors that may be compared with each other: the model, and its dimensions where they are asked for. */
  readonly space: string;
  /** Absent: the index is in the memory of the processes that retrieve, fed by VECTORS. */
  readonly index?: VectorIndex | undefined;
  readonly batchTexts?: number | undefined;
}

export interface Indexer {
  /** Every change up to this sequence of KNOWLEDGE is indexed. */
  readonly position: number;
  /** Why it does not get on; undefined when it does. */
  readonly failing: string | undefined;
  /** Where the index was emptied: fills it from the records. Ends when it is full or the indexer stops. */
  refill(): Promise<void>;
  /** Stops taking changes and finishes those it holds. */
  stop(): Promise<void>;
}

/** @throws JetclawError `nats.unavailable` */
export async function startIndexer(bus: Bus, options: IndexerOptions): Promise<Indexer> {
  const indexer = new StreamIndexer(bus, options);
  await indexer.start();
  return indexer;
}

class StreamIndexer implements Indexer {
  readonly #bus: Bus;
  readonly #options: IndexerOptions;
  readonly #texts: TextBatches;
  readonly #held = new HeldChanges();
  readonly #upserts: Coalescer<VectorDocument, JetclawError | undefined>;
  readonly #ended = new AbortController();
  #reader: DurableReader | undefined;
  #beats: { now(): void; stop(): void } | undefined;
  #marking: NodeJS.Timeout | undefined;
  #looking: NodeJS.Timeout | undefined;
  /** -1 until it is known: a first mark says that there is an indexer, also where nothing is indexed yet. */
  #position = -1;
  #createdAt = "";
  /** Where it was when the records had nothing for an empty index. */
  #nothingAt = -1;
  #failing: JetclawError | undefined;
  /** Numbers of a vector in the records of the space. */
  #dimensions: number | undefined;
  #fitting: Promise<void> | undefined;
  #filling: Promise<void> | undefined;
  /** Works through what was there when it began: nobody who waits for a change now waits for all that. */
  #behind = true;
  /** Changes that are not indexed, as last looked. */
  #waiting = 0;

  constructor(bus: Bus, options: IndexerOptions) {
    this.#bus = bus;
    this.#options = options;
    const { embedder, index, batchTexts } = options;
    this.#texts = new TextBatches(embedder, batchTexts);
    this.#upserts = new Coalescer({ most: () => UPSERT_DOCUMENTS, concurrent: 1 }, async (documents) =>
      index ? takeIn(index, documents) : documents.map(() => undefined),
    );
  }

  get position(): number {
    return Math.max(0, this.#position);
  }

  get failing(): string | undefined {
    return this.#failing?.message;
  }

  async start(): Promise<void> {
    const { instance, space } = this.#options;
    const known = Promise.withResolvers<void>();
    await within(Promise.all([this.#warmUp(), this.#tellUnfinished()]), WARM_MS);
    this.#reader = await readDurably(this.#bus, {
      stream: KNOWLEDGE,
      name: indexerConsumer(space),
      filter: knowledgeFilter(),
      bell: KNOWLEDGE_BELL.destination,
      inFlight: IN_FLIGHT,
      handle: (message) => this.#held.hold(message, (replaced) => this.#handle(message, replaced)),
      onProgress: async ({ floor, pending, createdAt }) => {
        this.#waiting = pending;
        // Lower, or that of another reader: KNOWLEDGE was made anew or restored.
        if (floor !== this.#position || createdAt !== this.#createdAt) this.#passed(floor);
        this.#createdAt = createdAt;
        known.resolve();
        if (!this.#behind || pending > IN_FLIGHT) return;
        this.#behind = false;
        this.#beats?.now();
      },
    });
    this.#held.follow(this.#bus);
    // Who starts an indexer and then changes something waits for it.
    await within(Promise.all([known.promise, this.#fillOnce(false)]), KNOWN_MS);
    this.#beats = announce(
      this.#bus,
      { role: INDEXER_ROLE, instance },
      () => ({
        space,
        position: this.position,
        failing: this.#failing === undefined ? 0 : 1,
        ...(this.#behind || this.#filling ? { behind: 1 } : {}),
        // For people: how many changes have not been indexed yet.
        waiting: this.#waiting,
      }),
      () => this.#ended.signal.aborted,
    );
    if (this.#options.index) this.#lookLater(this.#options.index);
  }

  /**
   * The first change would else wait for the connection and for all that is loaded and compiled on the way. Nothing is
   * embedded: a start costs nothing at a provider.
   */
  async #warmUp(): Promise<void> {
    const ids = { tenant: PROBE, collection: PROBE, document: PROBE };
    const event: KnowledgeEvent = { v: 1, ...ids, deleted: false, title: PROBE, text: PROBE, at: 0 };
    encodeRecord(await recordOf(event, 0, undefined, async (texts) => texts.map(() => Float32Array.of(1))));
    await this.#options.embedder.connect?.();
  }

  async #tellUnfinished(): Promise<void> {
    const { space, log } = this.#options;
    const unfinished = await unfinishedOf(this.#bus, space).catch(() => undefined);
    if (unfinished)
      log.warn({ since: unfinished.since }, `vectors were made anew in part. ${nextOf(unfinished)}`);
  }

  async stop(): Promise<void> {
    this.#ended.abort();
    await this.#reader?.stop();
    this.#held.stop();
    clearTimeout(this.#marking);
    clearTimeout(this.#looking);
    this.#beats?.stop();
  }

  refill(): Promise<void> {
    return this.#fillOnce(true);
  }

  /** One at a time. @param emptied false: only where nothing is there, as in another server or one that lost its disk */
  #fillOnce(emptied: boolean): Promise<void> {
    this.#filling ??= this.#fill(emptied).finally(() => {
      this.#filling = undefined;
      this.#beats?.now();
    });
    return this.#filling;
  }

  async #fill(emptied: boolean): Promise<void> {
    const { index, space, log } = this.#options;
    for (let pause = RETRY_FIRST_MS; index && !this.#ended.signal.aborted; ) {
      try {
        if (!emptied && !(await index.isEmpty())) return;
        const position = this.#position;
        const documents = await refill(this.#bus, space, index, (record, why) => this.#giveUp(record, why));
        if (documents > 0) log.info({ documents }, "an empty index was filled from the records");
        else this.#nothingAt = position;
        return;
      } catch (err) {
        log.debug({ err }, "the index is not filled yet, trying again");
        await this.#pauseAfter(err, pause);
      }
      pause = Math.min(RETRY_MOST_MS, 2 * pause);
    }
  }

  #lookLater(index: VectorIndex): void {
    this.#looking = setTimeout(async () => {
      const filled = this.#position > 0 && this.#position !== this.#nothingAt;
      const lost = filled && (await index.isEmpty().catch(() => false));
      if (this.#ended.signal.aborted) return;
      if (lost) void this.#fillOnce(false);
      this.#lookLater(index);
    }, untilPulse(LOOK_MS));
  }

  #pauseAfter(error: unknown, ms: number): Promise<void> {
    if (!isMisfit(error)) return this.#pause(ms);
    this.#fitting ??= this.#untilOthers().finally(() => {
      this.#fitting = undefined;
    });
    return this.#fitting;
  }

  /** Until the records have vectors of another length, or it is time to ask the model once more. */
  async #untilOthers(): Promise<void> {
    const before = this.#dimensions;
    const until = performance.now() + MISFIT_RETRY_MS;
    while (performance.now() < until && !this.#ended.signal.aborted) {
      await this.#pause(MISFIT_LOOK_MS);
      const now = await dimensionsOf(this.#bus, this.#options.space).catch(() => before);
      if (now !== before) return;
    }
  }

  async #pause(ms: number): Promise<void> {
    const { signal } = this.#ended;
    await sleep(ms * (0.75 + Math.random() / 2), undefined, { signal }).catch(() => {});
  }

  /** Holds the change while embeddings or Qdrant are away: given back, thousands of them would come again and again. */
  async #handle(message: Pulled, replaced: AbortSignal): Promise<void> {
    const event = decodeKnowledgeEvent(message.data);
    if (!event) return this.#options.log.warn({ seq: message.seq }, "not a knowledge event, skipped");
    let refusals = 0;
    for (let pause = RETRY_FIRST_MS; ; pause = Math.min(RETRY_MOST_MS, 2 * pause)) {
      try {
        await this.#index(event, message.seq, replaced);
        // A deletion says nothing of the model.
        if (!event.deleted || !isMisfit(this.#failing)) this.#tellFailing(undefined);
        return;
      } catch (error) {
        if (!(error instanceof JetclawError) || this.#ended.signal.aborted || replaced.aborted) throw error;
        if (isRefusal(error)) refusals++;
        else this.#tellFailing(error);
        if (refusals >= MOST_REFUSALS) {
          // Who refuses one of many is there.
          this.#tellFailing(undefined);
          return await this.#giveUp({ ...event, revision: message.seq }, error);
        }
        await this.#pauseAfter(error, pause);
      }
    }
  }

  #giveUp(refused: DocumentAddress & { readonly revision: number }, why: JetclawError): Promise<void> {
    return giveUp(this.#bus, { ...refused, space: this.#options.space }, why);
  }

  async #index(event: KnowledgeEvent, revision: number, replaced: AbortSignal): Promise<void> {
    const { index, space } = this.#options;
    const subject = vectorsSubject(space, event.tenant, event.collection, event.document);
    const record = await this.#record(subject, event, revision, replaced);
    if (!index || !record) return;
    const { tenant, collection, document } = record;
    if (record.vectors.length === 0) return index.remove([{ tenant, collection, document, revision }]);
    const refused = await this.#upserts.add(record);
    if (refused) throw refused;
    this.#nothingAt = -1;
    // Another process may have indexed a newer revision between our record and our points.
    const newest = await lastRecord(this.#bus, subject);
    if ((newest?.record?.revision ?? 0) > revision)
      await index.remove([{ tenant, collection, document, revision }]);
  }

  /** The record of this revision, written or found; undefined where a newer one is. */
  async #record(
    subject: string,
    event: KnowledgeEvent,
    revision: number,
    replaced: AbortSignal,
  ): Promise<VectorRecord | undefined> {
    for (;;) {
      const last = await lastRecord(this.#bus, subject);
      if (last?.record && last.record.revision > revision) {
        if (!(await isFormer(this.#bus, last.record))) return undefined;
        // The index refuses what is older than what it has.
        await this.#options.index?.remove([last.record]);
      }
      // An indexing anew with another model that was broken off may have left vectors of another length.
      const known = last?.record && (await this.#fits(last.record)) ? last.record : undefined;
      const record = await recordOf(event, revision, known, (texts) => this.#texts.embed(texts, replaced));
      // With another text it is that of a change that had the number before.
      if (known?.revision === revision && known.hashes.join() === record.hashes.join()) return known;
      if (!(await this.#fits(record))) {
        this.#options.embedder.forget?.();
        assertDimension(this.#dimensions as number, record.vectors[0] as Float32Array);
      }
      try {
        await this.#bus.append(subject, encodeRecord(record), { expectedRevision: last?.seq ?? 0 });
        return record;
      } catch (error) {
        if (!(error instanceof StaleRevision)) throw error;
      }
    }
  }

  /** Among vectors of another length nobody would find it. They may have been made anew since they were looked at. */
  async #fits({ vectors: [vector] }: VectorRecord): Promise<boolean> {
    if (!vector || vector.length === this.#dimensions) return true;
    this.#dimensions = await dimensionsOf(this.#bus, this.#options.space);
    return vector.length === (this.#dimensions ?? vector.length);
  }

  #tellFailing(error: JetclawError | undefined): void {
    const before = this.#failing;
    if ((before === undefined) === (error === undefined) && (isMisfit(before) || !isMisfit(error))) return;
    this.#failing = error;
    const { log } = this.#options;
    const reason = error?.message;
    if (error === undefined) log.info("vectors are indexed again");
    else if (isMisfit(error))
      log.error(
        { reason },
        "the model gives other vectors than those in use, so changes are not indexed: go back to the model before, or make all vectors anew (jetclaw kb reindex)",
      );
    else log.warn({ reason }, "vectors are not indexed, trying again; words are searched meanwhile");
    this.#beats?.now();
  }

  #passed(floor: number): void {
    this.#position = floor;
    // Of an index elsewhere nobody else tells.
    if (this.#options.index) this.#beats?.now();
    this.#marking ??= setTimeout(() => void this.#mark(), MARK_MS);
  }

  async #mark(): Promise<void> {
    const { space, log } = this.#options;
    try {
      await this.#bus.append(vectorsMark(space), encodeMark({ space, indexed: this.position }));
      this.#marking = undefined;
    } catch (err) {
      log.debug({ err }, "how far the vectors are is not marked yet, trying again");
      if (!this.#ended.signal.aborted) this.#marking = setTimeout(() => void this.#mark(), MARK_MS);
    }
  }
}
