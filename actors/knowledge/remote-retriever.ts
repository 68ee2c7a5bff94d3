/**
 * Retrieval by the role `retrieval`, for a process without an index of its own. Nobody waits for it: when it is away or
 * slow, a turn goes on without passages at most 280 ms later, and at once while it is known to be away. A process of the
 * role that cannot prove its index, or is busy, says so, and the next one is asked.
 */
import { JetclawError } from "#contracts/errors.ts";
import type { Passage } from "#contracts/job.ts";
import { Gate } from "#runtime/gate.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import type { Log } from "#runtime/observe/log.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import { patience } from "#runtime/within.ts";
import { askRetrieval } from "./ask-retrieval.ts";
import type { ProvenRetriever, QuestionVectors, RetrievalQuery, StoredChange } from "./port.ts";
import type { RevisionReader } from "./revisions.ts";

export const REMOTE_MS = 280;

export interface RemoteRetrieverOptions {
  readonly revisions: RevisionReader;
  /** Where this process embeds questions anyway, for its caches: the vector is sent along. */
  readonly questions?: QuestionVectors | undefined;
  readonly log: Log;
}

export class RemoteRetriever implements ProvenRetriever {
  readonly #bus: Bus;
  readonly #options: RemoteRetrieverOptions;
  readonly #gate = new Gate(
    () => new JetclawError("knowledge.unavailable", "no retrieval role answers"),
    () => "failed",
  );
  #away = false;

  constructor(bus: Bus, options: RemoteRetrieverOptions) {
    this.#bus = bus;
    this.#options = options;
  }

  /** Never throws; empty when nobody answers in time, counted. */
  async retrieve(query: RetrievalQuery): Promise<Passage[]> {
    const { questions, log } = this.#options;
    const until = performance.now() + patience(REMOTE_MS);
    // A suspect process proves itself again when it is asked, as one with documents does; meanwhile the role is asked.
    const settled = this.#options.revisions.settled();
    try {
      const vector =
        query.vector === undefined && questions
          ? ((await questions.vectorOf(query.question)) ?? null)
          : query.vector;
      const asked = { ...query, ...(vector === undefined ? {} : { vector }) };
      const passages = await this.#gate.run(() => askRetrieval(this.#bus, asked, until));
      await settled;
      if (this.#away) log.info("the retrieval role answers again");
      this.#away = false;
      metrics.retrievals({ part: "remote", result: passages.length > 0 ? "found" : "nothing" });
      return passages.filter((passage) => this.#isCurrent(query.tenant, passage));
    } catch (err) {
      if (!this.#away) log.warn({ err }, "no retrieval role answers, turns go on without passages");
      this.#away = true;
      metrics.retrievals({ part: "remote", result: "absent" });
      return [];
    }
  }

  changeOf(tenant: string, collection: string, document: string): StoredChange | undefined {
    return this.#options.revisions.changeOf(tenant, collection, document);
  }

  get newestAt(): number {
    return this.#options.revisions.newestAt;
  }

  fresh(): boolean {
    return this.#options.revisions.fresh();
  }

  settled(): Promise<void> {
    return this.#options.revisions.settled();
  }

  stop(): Promise<void> {
    return this.#options.revisions.stop();
  }

  /** Of a document that has changed as far as this process knows, old text is no answer. */
  #isCurrent(tenant: string, { collection, document, revision }: Passage): boolean {
    return revision >= (this.changeOf(tenant, collection, document)?.revision ?? 0);
  }
}
