/**
 * What vectors find, by exact search: how good the meaning is, apart from what an approximate index loses. Texts,
 * threshold and fusion are the product's.
 */
import { dot } from "#actors/knowledge/embeddings/unit-length.ts";
import { passagesOf } from "#actors/knowledge/passages.ts";
import type { Embedder } from "#actors/knowledge/port.ts";
import { fuse } from "#actors/knowledge/vectors/fusion.ts";
import { embeddedText } from "#actors/knowledge/vectors/passage-vectors.ts";
import { thresholdOf } from "#actors/knowledge/vectors/thresholds.ts";
import { JetclawError } from "#contracts/errors.ts";
import type { Method, Ranking } from "./retrieval.ts";
import type { RetrievalSet } from "./retrieval-sets.ts";

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
): Promise<{ readonly vectors: Method; readonly nearest: Method; readonly fused: Method } | undefined> {
  const texts = documents.flatMap(({ document, input: { title, text } }) =>
    passagesOf(title, text).map((passage) => ({ document, text: embeddedText(title, passage) })),
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
  const least = thresholdOf(rows.map(({ vector }) => vector));
  const near = (question: string, from: number): Ranking => {
    const vector = asked.get(question) as Float32Array;
    const found = rows
      .map((row) => ({ document: row.document, cosine: dot(row.vector, vector) }))
      .filter(({ cosine }) => cosine >= from)
      .sort((a, b) => b.cosine - a.cosine)
      .slice(0, RANKED);
    return [...new Set(found.map(({ document }) => document))];
  };
  return {
    vectors: async ({ text }) => near(text, least),
    nearest: async ({ text }) => near(text, -1),
    fused: async (question) => fuse([await words(question), near(question.text, least)]).map(({ of }) => of),
  };
}
