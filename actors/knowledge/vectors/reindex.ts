/**
 * Makes the vectors of all documents anew beside traffic: texts that were cut otherwise by older code, another model, or
 * a new collection in Qdrant. Records are written by compare-and-set like the indexer's, so whoever comes later with a
 * newer revision wins.
 *
 *   all documents ─► new collection ─► what changed meanwhile, until that is little ─► switch the alias
 *         │ refused: counted                               ─► what changed until the switch ─► drop the old one
 *         └── too many: it ends, the old one stays in use, the next run begins anew with the records of this one
 *
 * A change that is stored after the switch is written to the new collection by the indexer itself. In memory there is no
 * switch: every record that is written replaces its document's vectors in each process.
 */
import { JetclawError } from "#contracts/errors.ts";
import { decodeKnowledgeEvent, type KnowledgeEvent } from "#contracts/knowledge.ts";
import { KNOWLEDGE, knowledgeFilter, VECTORS, vectorsSubject } from "#contracts/subjects.ts";
import { type Bus, StaleRevision } from "#runtime/nats/connect.ts";
import { lastMessage, messagesFrom, type StoredMessage, streamState } from "#runtime/nats/reader.ts";
import type { Embedder } from "../port.ts";
import { takeIn } from "./apart.ts";
import { isFormer } from "./former.ts";
import { giveUp, isRefusal, type Refused } from "./given-up.ts";
import { recordOf } from "./passage-vectors.ts";
import { TextBatches } from "./text-batches.ts";
import { noteBegin, noteEnd } from "./unfinished.ts";
import {
  assertDimension,
  type DocumentAddress,
  type VectorDocument,
  type VectorIndex,
} from "./vector-index.ts";
import { decodeRecord, encodeRecord } from "./vector-record.ts";

/** A collection that is filled beside the one in use, and takes over. */
export interface Replacement {
  readonly index: VectorIndex;
  /** Everybody searches and writes it from now on. */
  takeOver(): Promise<void>;
  /** The one before is no longer needed. */
  dropPrevious(): Promise<void>;
}

export interface ReindexOptions {
  readonly space: string;
  readonly embedder: Embedder;
  /** Absent: the index is in the memory of the processes that retrieve. */
  readonly replacement?: Replacement | undefined;
  /** Texts whose vectors are known are embedded again too. */
  readonly embedAll?: boolean | undefined;
  /** However many documents are refused, the others are indexed and take over. */
  readonly force?: boolean | undefined;
  /** Texts of one request. */
  readonly batchTexts?: number | undefined;
  readonly onProgress?: (done: Reindexed) => void;
  /** Asked before each step. @throws JetclawError `vectors.busy` once another run has taken over */
  readonly stillAlone?: (() => Promise<void>) | undefined;
}

export interface Reindexed {
  /** Of how many in all. */
  readonly total: number;
  readonly documents: number;
  readonly passages: number;
  /** Passages whose vector was not known. */
  readonly embedded: number;
  /** Documents of which a newer revision is indexed already. */
  readonly skipped: number;
  /** Documents that the model or the index refused: a dead letter each, once the others have taken over. */
  readonly refused: number;
}

/** Documents read, embedded and written together. */
const PAGE = 256;
/** Fewer changes than this since the last round, and the alias is switched. */
const LITTLE = 32;
const ROUNDS = 20;
/**
 * More of all documents refused than this share and this number, or as many of few as are taken, and it is not them that
 * something is wrong with.
 */
const REFUSED_SHARE = 0.01;
const REFUSED_FEW = 5;
const REFUSED_MOST = 0.5;

/**
 * @throws JetclawError `vectors.incomplete`, `vectors.dimension` where the model becomes another one meanwhile,
 * `vectors.busy` where another run has taken over, `embeddings.unavailable`, `vectors.unavailable`, `nats.unavailable`; what is
 * done stays done, and what was in use stays in use
 */
export async function reindex(bus: Bus, options: ReindexOptions): Promise<Reindexed> {
  return await new Reindexing(bus, options).run();
}

class Reindexing {
  readonly #bus: Bus;
  readonly #options: ReindexOptions;
  readonly #texts: TextBatches;
  readonly #done = { total: 0, documents: 0, passages: 0, embedded: 0, skipped: 0, refused: 0 };
  /** By the subject of their records. The old index still has them: they are dead letters when it goes. */
  readonly #refused = new Map<string, { readonly document: Refused; readonly why: JetclawError }>();
  /** Documents seen that are there: KNOWLEDGE also holds those that are gone. */
  #there = 0;
  #begun: Promise<void> | undefined;
  /** Numbers of a vector; those of the first one made, where the model was not asked before. */
  #dimensions: number | undefined;

  constructor(bus: Bus, options: ReindexOptions) {
    this.#bus = bus;
    this.#options = options;
    this.#texts = new TextBatches(options.embedder, options.batchTexts);
    this.#dimensions = options.embedder.dimensions;
  }

  async run(): Promise<Reindexed> {
    const { replacement } = this.#options;
    this.#done.total = (await streamState(this.#bus, KNOWLEDGE)).messages;
    let seq = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const from = seq;
      // Whatever is still to come: as many as there can be.
      seq = await this.#pass(from, () => this.#stopWhereRefused(this.#done.total));
      if (!replacement || seq - from < LITTLE) break;
    }
    this.#stopWhereRefused(this.#there);
    await this.#giveUp();
    if (!replacement) return await this.#end();
    await this.#options.stillAlone?.();
    await replacement.takeOver();
    await this.#pass(seq);
    await this.#giveUp();
    await this.#options.stillAlone?.();
    await replacement.dropPrevious();
    return await this.#end();
  }

  /** From here on vectors of two models may stand side by side. */
  #begin(): Promise<void> {
    const { space, embedAll = false } = this.#options;
    this.#begun ??= noteBegin(this.#bus, space, { since: Date.now(), embedAll });
    return this.#begun;
  }

  async #end(): Promise<Reindexed> {
    const { space, embedAll = false } = this.#options;
    await noteEnd(this.#bus, space, { embedAll });
    return this.#done;
  }

  async #giveUp(): Promise<void> {
    for (const [subject, { document, why }] of this.#refused) {
      await this.#clear(subject, document.revision);
      await giveUp(this.#bus, document, why);
    }
    this.#refused.clear();
  }

  /** Vectors of another length in its record would keep all others out of an index that reads them first. */
  async #clear(subject: string, revision: number): Promise<void> {
    const stored = await lastMessage(this.#bus, VECTORS, subject);
    const record = stored && decodeRecord(stored.data);
    if (!record || record.revision > revision || this.#fits(record)) return;
    const none = encodeRecord({ ...record, revision, hashes: [], vectors: [] });
    await this.#bus.append(subject, none, { expectedRevision: stored.seq }).catch((error: unknown) => {
      // Whoever was here a moment ago has others.
      if (!(error instanceof StaleRevision)) throw error;
    });
  }

  /** Everything after a sequence. @returns the last sequence seen */
  async #pass(after: number, check?: () => void): Promise<number> {
    for (let seq = after; ; ) {
      const page = await messagesFrom(this.#bus, KNOWLEDGE, knowledgeFilter(), seq + 1, PAGE);
      const last = page.at(-1);
      if (last === undefined) return seq;
      await this.#options.stillAlone?.();
      await this.#index(page);
      check?.();
      seq = last.seq;
      this.#options.onProgress?.(this.#done);
    }
  }

  /** @param total documents there are @throws JetclawError `vectors.incomplete` */
  #stopWhereRefused(total: number): void {
    const { refused } = this.#done;
    const few = refused < REFUSED_MOST * total && refused <= Math.max(REFUSED_FEW, REFUSED_SHARE * total);
    if (this.#options.force || refused === 0 || few) return;
    const [first] = this.#refused.values();
    const { tenant, collection, document } = first?.document ?? {};
    throw new JetclawError(
      "vectors.incomplete",
      `${refused} of ${total} documents were refused, ${tenant}/${collection}/${document} with ${first?.why.message}`,
      { cause: first?.why },
    );
  }

  async #index(page: readonly StoredMessage[]): Promise<void> {
    const events = eventsOf(page);
    for (const { event } of events) {
      if (!event.deleted) this.#there++;
      // It has changed since it was refused.
      if (this.#refused.delete(this.#subjectOf(event))) this.#done.refused--;
    }
    const records = await Promise.all(events.map(({ event, seq }) => this.#record(event, seq)));
    const documents = records.filter((record) => record !== undefined);
    this.#done.documents += records.length;
    this.#done.passages += documents.reduce((sum, { vectors }) => sum + vectors.length, 0);
    const { replacement } = this.#options;
    if (!replacement || documents.length === 0) return;
    for (const [n, why] of (await takeIn(replacement.index, documents)).entries())
      if (why) this.#refuse(documents[n] as VectorDocument, why);
  }

  #refuse(refused: Omit<Refused, "space">, why: JetclawError): void {
    this.#done.refused++;
    const { tenant, collection, document, revision } = refused;
    const { space } = this.#options;
    this.#refused.set(this.#subjectOf(refused), {
      document: { space, tenant, collection, document, revision },
      why,
    });
  }

  #subjectOf({ tenant, collection, document }: DocumentAddress): string {
    return vectorsSubject(this.#options.space, tenant, collection, document);
  }

  /** The record of a document as the code of today cuts it; undefined where a newer one is there, or it is refused. */
  async #record(event: KnowledgeEvent, revision: number): Promise<VectorDocument | undefined> {
    const { embedAll } = this.#options;
    const subject = this.#subjectOf(event);
    for (;;) {
      const stored = await lastMessage(this.#bus, VECTORS, subject);
      const earlier = stored && decodeRecord(stored.data);
      if (earlier && earlier.revision > revision && !(await isFormer(this.#bus, earlier)))
        return void this.#done.skipped++;
      try {
        const known = earlier && !embedAll && this.#fits(earlier) ? earlier : undefined;
        const record = await recordOf(event, revision, known, (texts) => this.#embed(texts));
        if (earlier && !known) await this.#begin();
        const same = known?.revision === revision && known.hashes.join() === record.hashes.join();
        if (!same)
          await this.#bus.append(subject, encodeRecord(record), { expectedRevision: stored?.seq ?? 0 });
        return record;
      } catch (error) {
        if (error instanceof JetclawError && isRefusal(error)) {
          this.#refuse({ ...event, revision }, error);
          return undefined;
        }
        // The indexer was here a moment ago; what it wrote is looked at.
        if (!(error instanceof StaleRevision)) throw error;
      }
    }
  }

  /** Vectors of another length are those of a model that was replaced under its name. */
  #fits({ vectors: [vector] }: VectorDocument): boolean {
    return vector === undefined || vector.length === (this.#dimensions ?? vector.length);
  }

  async #embed(texts: readonly string[]): Promise<Float32Array[]> {
    const vectors = await this.#texts.embed(texts);
    for (const vector of vectors) {
      this.#dimensions ??= vector.length;
      assertDimension(this.#dimensions, vector);
    }
    this.#done.embedded += texts.length;
    return vectors;
  }
}

function eventsOf(page: readonly StoredMessage[]): { event: KnowledgeEvent; seq: number }[] {
  return page.flatMap(({ data, seq }) => {
    const event = decodeKnowledgeEvent(data);
    return event ? [{ event, seq }] : [];
  });
}
