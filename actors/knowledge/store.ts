/**
 * The documents of all tenants: the last event of each subject of KNOWLEDGE is the document, its sequence the revision.
 * Reads of one document ask the leader, so that whoever wrote sees what it wrote.
 */

import type { DocumentChange } from "#contracts/cloudevent.ts";
import { JetclawError } from "#contracts/errors.ts";
import { isId } from "#contracts/ids.ts";
import {
  contentHash,
  type DocumentInput,
  decodeKnowledgeEvent,
  encodeKnowledgeEvent,
  eventMark,
  type KnowledgeDocument,
  type KnowledgeEvent,
  type ListedDocument,
  wellFormed,
} from "#contracts/knowledge.ts";
import { KNOWLEDGE, knowledgeFilter, knowledgeSubject } from "#contracts/subjects.ts";
import { type Clock, systemClock } from "#runtime/clock.ts";
import { type Bus, StaleRevision } from "#runtime/nats/connect.ts";
import { lastMessage, messagesFrom, nextMessage } from "#runtime/nats/reader.ts";
import { Confirmations } from "./confirmations.ts";
import { documentOf, sameContent } from "./document.ts";
import { languageOf } from "./language.ts";
import type { ChangeOutcome, KnowledgeStore, Listing, ListPage } from "./port.ts";
import { ReadersView } from "./readers.ts";

/** Documents a page has unless told otherwise. */
const PAGE_DOCUMENTS = 1_000;
/** Messages a request carries; the server's "last by subject" ends at 1,024 subjects in all. */
const BATCH_MESSAGES = 512;
/** Marks of events that a document remembers: repeats come soon after each other. */
const REMEMBERED_EVENTS = 16;
/** Somebody else changed the document at the same time, again and again. */
const CHANGE_ATTEMPTS = 8;

export interface RunningStore extends KnowledgeStore {
  /** Change of KNOWLEDGE up to which every reader searches, vectors included; 0 while nobody can know. */
  readonly indexed: number;
  stop(): void;
}

/** Starts listening to the readers at once: `waitIndexed` is sure of them about 0.65 s later. */
export function createKnowledgeStore(bus: Bus, clock: Clock = systemClock): RunningStore {
  return new StreamStore(bus, clock);
}

class StreamStore implements RunningStore {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #readers: ReadersView;
  readonly #confirmations: Confirmations;

  constructor(bus: Bus, clock: Clock) {
    this.#bus = bus;
    this.#confirmations = new Confirmations(bus);
    this.#clock = clock;
    this.#readers = new ReadersView(bus);
  }

  /**
   * Identical content is not written again: the revision stays, and with it every cached answer.
   * @throws JetclawError `request.id`, `nats.unavailable`, `nats.too-large`
   */
  async put(
    tenant: string,
    collection: string,
    document: string,
    input: DocumentInput,
  ): Promise<{ revision: number }> {
    const subject = subjectOf(tenant, collection, document);
    const content = withLocale(input);
    const last = await this.#last(subject);
    if (last && sameContent(last.event, content)) return { revision: last.revision };
    const { title, text, url, locale, tags } = content;
    const { events } = last?.event ?? {};
    const at = this.#clock.now();
    const { seq } = await this.#append(subject, {
      v: 1,
      tenant,
      collection,
      document,
      deleted: false,
      title,
      text,
      url,
      locale,
      tags,
      at,
      events,
    });
    return { revision: seq };
  }

  /** @throws JetclawError `request.id`, `nats.unavailable` */
  async get(tenant: string, collection: string, document: string): Promise<KnowledgeDocument | undefined> {
    const last = await this.#last(subjectOf(tenant, collection, document));
    return last && !last.event.deleted ? documentOf(last.event, last.revision) : undefined;
  }

  /** Writes a deletion, which readers see like any change. @throws JetclawError `request.id`, `nats.unavailable` */
  async delete(
    tenant: string,
    collection: string,
    document: string,
  ): Promise<{ revision: number } | undefined> {
    const subject = subjectOf(tenant, collection, document);
    const last = await this.#last(subject);
    if (!last || last.event.deleted) return undefined;
    const { seq } = await this.#append(subject, {
      v: 1,
      tenant,
      collection,
      document,
      deleted: true,
      title: "",
      text: "",
      at: this.#clock.now(),
      events: last.event.events,
    });
    return { revision: seq };
  }

  /**
   * Compare-and-set on the document's revision, so that of two changes at once each sees the other. The time of an event
   * decides where it has one: older than what is stored is late, a deletion included, which is kept for that reason even
   * where there was no document.
   */
  async change(tenant: string, collection: string, change: DocumentChange): Promise<ChangeOutcome> {
    const { document, input } = change;
    const subject = subjectOf(tenant, collection, document);
    const mark = eventMark(change.event);
    const now = this.#clock.now();
    const at = change.at === undefined ? undefined : Math.min(change.at, now);
    const content = input ? withLocale(input) : { title: "", text: "" };
    const said = { v: 1, tenant, collection, document, deleted: input === undefined, ...content } as const;
    for (let attempt = 1; attempt <= CHANGE_ATTEMPTS; attempt++) {
      const last = await this.#last(subject);
      const known = this.#knownOutcome(change, mark, last);
      if (known === "unchanged" && last && at !== undefined && at > last.event.at) {
        await this.#confirmations.note(subject, at);
        // Who stored something else meanwhile may not have seen it.
        if ((await this.#last(subject))?.revision !== last.revision) continue;
      }
      if (known) return { document, outcome: known, revision: last?.revision ?? 0 };
      if (last && (await this.#confirmedAfter(subject, at)))
        return { document, outcome: "late", revision: last.revision };
      const events = [...(last?.event.events ?? []), mark].slice(-REMEMBERED_EVENTS);
      try {
        const event = { ...said, at: at ?? now, events };
        const { seq } = await this.#append(subject, event, last?.revision ?? 0);
        // What was there may have been confirmed while it was being replaced: then it comes back.
        const confirmedAt = last && (await this.#confirmedAfter(subject, at));
        if (!confirmedAt) return { document, outcome: input ? "stored" : "deleted", revision: seq };
        const again = await this.#append(subject, { ...last.event, at: confirmedAt, events }, seq);
        return { document, outcome: "late", revision: again.seq };
      } catch (error) {
        if (!(error instanceof StaleRevision)) throw error;
      }
    }
    throw new JetclawError("nats.unavailable", "the document changes all the time");
  }

  /** When what is stored was said again, if that was later; undefined also for what has no time. */
  async #confirmedAfter(subject: string, at: number | undefined): Promise<number | undefined> {
    if (at === undefined) return undefined;
    const confirmedAt = await this.#confirmations.newestAt(subject);
    return confirmedAt > at ? confirmedAt : undefined;
  }

  /** Why an event changes nothing; undefined when it does. */
  #knownOutcome(
    { at, input }: DocumentChange,
    mark: string,
    last: { event: KnowledgeEvent } | undefined,
  ): ChangeOutcome["outcome"] | undefined {
    if (!last) return input || at !== undefined ? undefined : "unchanged";
    if (last.event.events?.includes(mark)) return "duplicate";
    if (at !== undefined && at < last.event.at) return "late";
    if (input) return sameContent(last.event, withLocale(input)) ? "unchanged" : undefined;
    return last.event.deleted && (at === undefined || at === last.event.at) ? "unchanged" : undefined;
  }

  /** @throws JetclawError `request.id`, `nats.unavailable` */
  async list(tenant: string, collection: string, page: ListPage = {}): Promise<Listing> {
    assertIds(tenant, collection);
    const { after = 0, limit = PAGE_DOCUMENTS } = page;
    const filter = knowledgeFilter(tenant, collection);
    const documents: ListedDocument[] = [];
    for (let passed = after; ; ) {
      const batch = Math.min(BATCH_MESSAGES, limit - documents.length);
      const messages = await messagesFrom(this.#bus, KNOWLEDGE, filter, passed + 1, batch);
      for (const { data, seq } of messages) {
        const event = decodeKnowledgeEvent(data);
        if (!event || event.deleted) continue;
        const { text, ...listed } = documentOf(event, seq);
        documents.push({ ...listed, hash: contentHash({ ...listed, text }) });
      }
      passed = messages.at(-1)?.seq ?? passed;
      if (messages.length < batch) return { documents, revision: passed };
      if (documents.length >= limit) return { documents, next: passed, revision: passed };
    }
  }

  /** Readers compare every cached answer with the revisions they know, so passing a revision also ends its cache entries. */
  async waitIndexed(revision: number, timeoutMs: number): Promise<boolean> {
    const until = performance.now() + timeoutMs;
    const storedAt = revision > 0 ? await this.#storedAt(revision) : 0;
    return await this.#readers.waitPassed(revision, storedAt, until - performance.now());
  }

  get indexed(): number {
    return this.#readers.passed() ?? 0;
  }

  stop(): void {
    this.#readers.stop();
  }

  /** Of what was replaced since, that of the next one. A stream that does not reach so far is another one than it was. */
  async #storedAt(revision: number): Promise<number> {
    try {
      return (await nextMessage(this.#bus, KNOWLEDGE, ">", revision))?.at ?? Number.POSITIVE_INFINITY;
    } catch {
      // Readers are heard without the store, too.
      return 0;
    }
  }

  async #last(subject: string): Promise<{ event: KnowledgeEvent; revision: number } | undefined> {
    const message = await lastMessage(this.#bus, KNOWLEDGE, subject);
    const event = message && decodeKnowledgeEvent(message.data);
    return message && event ? { event, revision: message.seq } : undefined;
  }

  async #append(subject: string, event: KnowledgeEvent, expectedRevision?: number): Promise<{ seq: number }> {
    return await this.#bus.append(subject, encodeKnowledgeEvent(event), { expectedRevision });
  }
}

function withLocale(given: DocumentInput): DocumentInput {
  const input = wellFormed(given);
  const locale = input.locale ?? languageOf(`${input.title}\n${input.text}`);
  return { ...input, ...(locale ? { locale } : {}) };
}

function subjectOf(tenant: string, collection: string, document: string): string {
  assertIds(tenant, collection, document);
  return knowledgeSubject(tenant, collection, document);
}

function assertIds(...ids: string[]): void {
  if (!ids.every(isId))
    throw new JetclawError("request.id", "collection and document: 1 to 256 characters, no white space");
}
