/** The part of retrieval that goes by meaning. It never throws: without it a question is answered by its words. */

import type { Log } from "#runtime/observe/log.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import { patience, within } from "#runtime/within.ts";
import type { QuestionVectors, RetrievalQuery } from "../port.ts";
import type { EmbeddedIndex } from "./embedded-index.ts";
import type { QdrantIndex } from "./qdrant-index.ts";
import type { Thresholds } from "./thresholds.ts";
import type { VectorHit } from "./vector-index.ts";

/** All that meaning may cost a turn, the vector of the question included. */
export const VECTORS_MS = 280;
/** A passage too much costs nothing: those below the threshold and the outdated are dropped. */
const HITS = 24;

export interface VectorSearchParts {
  /** Names the vectors that may be compared with each other. */
  readonly space: string;
  readonly index: EmbeddedIndex | QdrantIndex;
  readonly questions: QuestionVectors;
  readonly thresholds: Thresholds;
  readonly log: Log;
}

/** One question on its way through the languages it is asked in. */
export interface Asking {
  /** Undefined where meaning could not be asked; what words find is all there is then. */
  find(languages: readonly string[]): Promise<VectorHit[] | undefined>;
}

export class VectorSearch {
  readonly space: string;
  readonly index: VectorSearchParts["index"];
  readonly #parts: VectorSearchParts;
  #warned = 0;

  constructor(parts: VectorSearchParts) {
    this.space = parts.space;
    this.index = parts.index;
    this.#parts = parts;
  }

  /** Starts to embed the question, so that words can be searched meanwhile. */
  ask(query: RetrievalQuery): Asking {
    const until = performance.now() + patience(VECTORS_MS);
    const vector = this.#vectorOf(query);
    return {
      find: async (languages) => {
        const hits = await within(this.#find(query, languages, vector), until - performance.now());
        metrics.retrievals({
          part: "vectors",
          result: hits === undefined ? "absent" : hits.length > 0 ? "found" : "nothing",
        });
        return hits;
      },
    };
  }

  async #vectorOf({ question, vector }: RetrievalQuery): Promise<Float32Array | undefined> {
    return vector === undefined ? await this.#parts.questions.vectorOf(question) : (vector ?? undefined);
  }

  async #find(
    query: RetrievalQuery,
    languages: readonly string[],
    asked: Promise<Float32Array | undefined>,
  ): Promise<VectorHit[] | undefined> {
    const { index, thresholds } = this.#parts;
    const { tenant, collections } = query;
    try {
      const [vector] = await Promise.all([asked, thresholds.ready(tenant)]);
      if (!vector) return undefined;
      const hits = await index.search({ tenant, collections, languages, vector, limit: HITS });
      return hits.filter(({ language, score }) => score >= thresholds.of(tenant, language, vector.length));
    } catch (err) {
      this.#warn(err);
      return undefined;
    }
  }

  /** A failing index fails every turn; once in ten seconds is enough to read. */
  #warn(err: unknown): void {
    const now = performance.now();
    if (now - this.#warned < 10_000 && this.#warned > 0) return;
    this.#warned = now;
    this.#parts.log.warn({ err }, "vectors cannot be searched, words are searched alone");
  }
}
