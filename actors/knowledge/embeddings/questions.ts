/**
 * Vectors of questions. Retrieval and caches ask for the same one in the same turn: it is embedded once, and what could
 * not be embedded in time is not tried again by the next who asks, so that a slow model costs a turn one wait.
 */
import { LRUCache } from "lru-cache";
import { patience } from "#runtime/within.ts";
import type { Embedder, QuestionVectors } from "../port.ts";
import { textHash } from "./text-hash.ts";

/** A turn waits so long for its vector. With the search after it the turn stays below 300 ms more. */
export const QUESTION_MS = 200;
/** Models cut long texts anyway; what a message is about stands in its first pages. */
const QUESTION_CHARS = 2_000;
const REMEMBERED = 4_096;
/** Where only known questions are asked, nothing else tells that the server holds another model by now. */
const REMEMBERED_MS = 600_000;
/** For so long nobody tries a question again that failed; the turn that asked is over then. */
const FAILED_MS = 1_000;

export function questionVectors(embedder: Embedder, waitMs: number = QUESTION_MS): QuestionVectors {
  const vectors = new LRUCache<string, Promise<Float32Array | undefined>>({
    max: REMEMBERED,
    ttl: REMEMBERED_MS,
  });
  let length: number | undefined;
  return {
    model: embedder.model,
    vectorOf(question) {
      const text = question.slice(0, QUESTION_CHARS).trim();
      if (text === "") return Promise.resolve(undefined);
      const hash = textHash(text);
      const known = vectors.get(hash);
      if (known) return known;
      const asked = embedder.embed([text], { signal: AbortSignal.timeout(patience(waitMs)) }).then(
        ([vector]) => {
          // The server holds another model: what the one before it gave can be compared with nothing any more.
          if (length !== undefined && length !== vector?.length) {
            vectors.clear();
            vectors.set(hash, asked);
          }
          length = vector?.length;
          return vector;
        },
        () => {
          // The embedder counts its failures.
          vectors.set(hash, asked, { ttl: FAILED_MS });
          return undefined;
        },
      );
      vectors.set(hash, asked);
      return asked;
    },
  };
}
