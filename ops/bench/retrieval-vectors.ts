/**
 * What vectors find, by exact search: how good the meaning is, apart from what an approximate index loses. Fused by
 * reciprocal rank (Cormack, Clarke and Buettcher, SIGIR 2009).
 */
import { passagesOf } from "#actors/knowledge/passages.ts";
import type { Embedder } from "#actors/knowledge/port.ts";
import { JetclawError } from "#contracts/errors.ts";
import type { Method, Ranking } from "./retrieval.ts";
import type { RetrievalSet } from "./retrieval-sets.ts";

const CONSTANT = 60;
const RANKED = 24;

interface Row {
  readonly document: string;
  readonly vector: Float32Array;
}

/** Undefined where no vectors were recorded for the texts of this set. */
export async function vectorMethods(
  { documents, questions }: RetrievalSet,
  words: Method,
  embedder: Embedder,
): Promise<{ readonly vectors: Method; readonly fused: Method } | undefined> {
  const texts = documents.flatMap(({ document, input: { title, text } }) =>
    passagesOf(title, text).map(({ heading, body }) => ({
      document,
      text: [title, heading, body].filter((part) => part !== "").join("\n\n"),
    })),
  );
  let rows: Row[];
  const asked = new Map<string, Float32Array>();
  try {
    const embedded = await embedder.embed(texts.map(({ text }) => text));
    rows = texts.map(({ document }, n) => ({ document, vector: embedded[n] as Float32Array }));
    const vectors = await embedder.embed(questions.map(({ text }) => text));
    for (const [n, { text }] of questions.entries()) asked.set(text, vectors[n] as Float32Array);
  } catch (error) {
    if (error instanceof JetclawError && error.code === "embeddings.rejected") return undefined;
    throw error;
  }
  // What is as near as any two documents are to each other is about something else.
  const least = thresholdOf(rows.map(({ vector }) => vector));
  const nearest = (question: string): Ranking => {
    const vector = asked.get(question) as Float32Array;
    const near = rows
      .map((row) => ({ document: row.document, cosine: dot(row.vector, vector) }))
      .filter(({ cosine }) => cosine >= least)
      .sort((a, b) => b.cosine - a.cosine)
      .slice(0, RANKED);
    return [...new Set(near.map(({ document }) => document))];
  };
  return {
    vectors: async ({ text }) => nearest(text),
    fused: async (question) => fuse(await words(question), nearest(question.text)),
  };
}

function fuse(...rankings: Ranking[]): Ranking {
  const scores = new Map<string, number>();
  for (const ranking of rankings)
    for (const [rank, document] of ranking.entries())
      scores.set(document, (scores.get(document) ?? 0) + 1 / (CONSTANT + rank + 1));
  return [...scores].sort((a, b) => b[1] - a[1]).map(([document]) => document);
}

/** Mean and one standard deviation of the cosines of pairs. */
function thresholdOf(vectors: readonly Float32Array[]): number {
  const cosines = vectors.flatMap((one, n) => vectors.slice(0, n).map((other) => dot(one, other)));
  const mean = cosines.reduce((sum, cosine) => sum + cosine, 0) / (cosines.length || 1);
  const spread = cosines.reduce((sum, cosine) => sum + (cosine - mean) ** 2, 0) / (cosines.length || 1);
  return mean + Math.sqrt(spread);
}

function dot(one: Float32Array, other: Float32Array): number {
  let sum = 0;
  for (let n = 0; n < one.length; n++) sum += (one[n] as number) * (other[n] as number);
  return sum;
}
