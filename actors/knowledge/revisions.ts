/**
 * The revisions of all documents and nothing else, for a process that has its questions answered elsewhere: its caches
 * still have to know what has changed. Bodies are not sent to it; 100,000 documents take some 20 MB.
 */
import { knowledgeSubject } from "#contracts/subjects.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { KnowledgeReader, type ReaderOptions } from "./knowledge-reader.ts";
import type { StoredChange } from "./port.ts";

export class RevisionReader {
  readonly #reader: KnowledgeReader;
  /** By subject. A deletion is a revision too: nothing that was made from the document has it. */
  readonly #changes = new Map<string, StoredChange>();

  constructor(bus: Bus, options: ReaderOptions) {
    this.#reader = new KnowledgeReader(bus, {
      ...options,
      headersOnly: true,
      apply: ({ subject, seq, at }) => {
        if (seq > (this.#changes.get(subject)?.revision ?? 0))
          this.#changes.set(subject, { revision: seq, storedAt: at });
      },
      onAnew: () => this.#changes.clear(),
    });
  }

  /** Joins the readers and catches up. @throws JetclawError `nats.unavailable` */
  start(): Promise<void> {
    return this.#reader.start();
  }

  /** The last change of a document, its deletion included. */
  changeOf(tenant: string, collection: string, document: string): StoredChange | undefined {
    return this.#changes.get(knowledgeSubject(tenant, collection, document));
  }

  get newestAt(): number {
    return this.#reader.newestAt;
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
