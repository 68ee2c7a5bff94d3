/**
 * Retrieval by the role `retrieval`, for a process without an index of its own. Nobody waits for it: when it is away or
 * slow, a turn goes on without passages at most 280 ms later, and at once while it is known to be away. A process of the
 * role that cannot prove its index, or is busy, says so, and the next one is asked.
 */
import { JetclawError } from "#contracts/errors.ts";
import type { Passage } from "#contracts/job.ts";
import { CORE } from "#contracts/subjects.ts";
import { Gate } from "#runtime/gate.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import type { Log } from "#runtime/observe/log.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import { patience } from "#runtime/within.ts";
import type { ProvenRetriever, QuestionVectors, RetrievalQuery } from "./port.ts";
import { decodeFound, encodeAsk } from "./retrieval-wire.ts";
import type { RevisionReader } from "./revisions.ts";

export const REMOTE_MS = 280;

export interface RemoteRetrieverOptions {
  readonly revisions: RevisionReader;
  /** Where this process embeds questions anyway, for its caches: the vector is sent along. */
  readonly questions?: QuestionVectors | undefined;
  readonly log: Log;
}

/** With less time left nobody is asked again, nor more often than that. */
const LEAST_MS = 20;
const MOST_ASKED = 4;

export class RemoteRetriever implements ProvenRetriever {
  readonly #bus: Bus;
  readonly #options: RemoteRetrieverOptions;
  readonly #gate = new Gate(
    () => new JetclawError("nats.unavailable", "no retrieval role answers"),
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
      const passages = await this.#gate.run(() => this.#ask(encodeAsk(asked), until));
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

  revisionOf(tenant: string, collection: string, document: string): number | undefined {
    return this.#options.revisions.revisionOf(tenant, collection, document);
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

  /** @throws JetclawError `nats.unavailable` where nobody who is fresh and has room answers in time */
  async #ask(asked: Uint8Array, until: number): Promise<readonly Passage[]> {
    for (let tries = 1; ; tries++) {
      const leftMs = Math.max(1, until - performance.now());
      const { passages, fresh, busy } = decodeFound(await this.#bus.request(CORE.retrieval, asked, leftMs));
      if (fresh) return passages;
      metrics.retrievals({ part: "remote", result: busy ? "busy" : "outdated" });
      if (tries === MOST_ASKED || until - performance.now() < LEAST_MS)
        throw new JetclawError(
          "nats.unavailable",
          busy ? "every retrieval role is busy" : "no retrieval role can prove that its index is current",
        );
    }
  }

  /** Of a document that has changed as far as this process knows, old text is no answer. */
  #isCurrent(tenant: string, { collection, document, revision }: Passage): boolean {
    return revision >= (this.revisionOf(tenant, collection, document) ?? 0);
  }
}
