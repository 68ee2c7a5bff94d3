/**
 * The documents of all tenants: the last event of each subject of KNOWLEDGE is the document, its sequence the revision.
 * Reads of one document ask the leader, so that whoever wrote sees what it wrote.
 */

import { JetclawError } from "#contracts/errors.ts";
import { isId } from "#contracts/ids.ts";
import {
  type DocumentInput,
  decodeKnowledgeEvent,
  encodeKnowledgeEvent,
  type KnowledgeDocument,
  type KnowledgeEvent,
} from "#contracts/knowledge.ts";
import { KNOWLEDGE, knowledgeFilter, knowledgeSubject } from "#contracts/subjects.ts";
import { type Clock, systemClock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { lastMessage, messagesFrom } from "#runtime/nats/reader.ts";
import { documentOf, sameContent } from "./document.ts";
import { languageOf } from "./language.ts";
import type { KnowledgeStore } from "./port.ts";
import { ReadersView } from "./readers.ts";

/** Documents a request of a listing carries; the server's "last by subject" ends at 1,024 subjects in all. */
const PAGE_DOCUMENTS = 256;

export interface RunningStore extends KnowledgeStore {
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

  constructor(bus: Bus, clock: Clock) {
    this.#bus = bus;
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
    const locale = input.locale ?? languageOf(`${input.title}\n${input.text}`);
    const content: DocumentInput = { ...input, ...(locale ? { locale } : {}) };
    const last = await this.#last(subject);
    if (last && sameContent(last.event, content)) return { revision: last.revision };
    const { title, text, url, tags } = content;
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
      at: this.#clock.now(),
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
    });
    return { revision: seq };
  }

  /** In the order of the last change. @throws JetclawError `request.id`, `nats.unavailable` */
  async list(tenant: string, collection: string): Promise<Omit<KnowledgeDocument, "text">[]> {
    assertIds(tenant, collection);
    const filter = knowledgeFilter(tenant, collection);
    const documents: Omit<KnowledgeDocument, "text">[] = [];
    for (let seq = 1; ; ) {
      const page = await messagesFrom(this.#bus, KNOWLEDGE, filter, seq, PAGE_DOCUMENTS);
      for (const message of page) {
        const event = decodeKnowledgeEvent(message.data);
        if (!event || event.deleted) continue;
        const { text: _, ...listed } = documentOf(event, message.seq);
        documents.push(listed);
      }
      const last = page.at(-1);
      if (last === undefined || page.length < PAGE_DOCUMENTS) return documents;
      seq = last.seq + 1;
    }
  }

  /** Readers compare every cached answer with the revisions they know, so passing a revision also ends its cache entries. */
  async waitIndexed(revision: number, timeoutMs: number): Promise<boolean> {
    return await this.#readers.waitPassed(revision, timeoutMs);
  }

  stop(): void {
    this.#readers.stop();
  }

  async #last(subject: string): Promise<{ event: KnowledgeEvent; revision: number } | undefined> {
    const message = await lastMessage(this.#bus, KNOWLEDGE, subject);
    const event = message && decodeKnowledgeEvent(message.data);
    return message && event ? { event, revision: message.seq } : undefined;
  }

  async #append(subject: string, event: KnowledgeEvent): Promise<{ seq: number }> {
    return await this.#bus.append(subject, encodeKnowledgeEvent(event));
  }
}

function subjectOf(tenant: string, collection: string, document: string): string {
  assertIds(tenant, collection, document);
  return knowledgeSubject(tenant, collection, document);
}

function assertIds(...ids: string[]): void {
  if (!ids.every(isId))
    throw new JetclawError("request.id", "collection and document: 1 to 256 characters, no white space");
}
