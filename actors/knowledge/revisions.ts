/**
 * The revisions of all documents and nothing else, for a process that has its questions answered elsewhere: its caches
 * still have to know what has changed. Bodies are not sent to it; 100,000 documents take some 15 MB.
 */
import { knowledgeSubject } from "#contracts/subjects.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { KnowledgeReader, type ReaderOptions } from "./knowledge-reader.ts";

export class RevisionReader {
  readonly #reader: KnowledgeReader;
  /** By subject. A deletion is a revision too: nothing that was made from the document has it. */
  readonly #revisions = new Map<string, number>();

  constructor(bus: Bus, options: ReaderOptions) {
    this.#reader = new KnowledgeReader(bus, {
      ...options,
      headersOnly: true,
      apply: ({ subject, seq }) => {
        if (seq > (this.#revisions.get(subject) ?? 0)) this.#revisions.set(subject, seq);
      },
    });
  }

  /** Joins the readers and catches up. @throws JetclawError `nats.unavailable` */
  start(): Promise<void> {
    return this.#reader.start();
  }

  /** The sequence of the last change of a document, its deletion included. */
  revisionOf(tenant: string, collection: string, document: string): number | undefined {
    return this.#revisions.get(knowledgeSubject(tenant, collection, document));
  }

  settled(): Promise<void> {
    return this.#reader.settled();
  }

  fresh(): boolean {
    return this.#reader.fresh();
  }

  stop(): Promise<void> {
    return this.#reader.stop();
  }
}
