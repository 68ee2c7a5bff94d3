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
import type { RetrievalSet, SetQuestion } from "./retrieval-sets.ts";

const RANKED = 24;

interface Row {
  readonly document: string;
  readonly language: string;
  readonly vector: Float32Array;
}

const LANGUAGE = "en";

/** Undefined where no vectors were recorded for the texts of this set. */
export async function vectorMethods(
  { documents, questions }: RetrievalSet,
  words: Method,
  embedder: Embedder,
): Promise<{ readonly vectors: Method; readonly nearest: Method; readonly fused: Method } | undefined> {
  const texts = documents.flatMap(({ document, input: { title, text, locale = LANGUAGE } }) =>
    passagesOf(title, text).map((passage) => ({
      document,
      language: locale,
      text: embeddedText(title, passage),
    })),
  );
  let rows: Row[];
  const asked = new Map<string, Float32Array>();
  try {
    const embedded = await embedder.embed(texts.map(({ text }) => text));
    rows = texts.map(({ document, language }, n) => ({
      document,
      language,
      vector: embedded[n] as Float32Array,
    }));
    const vectors = await embedder.embed(questions.map(({ text }) => text));
    for (const [n, { text }] of questions.entries()) asked.set(text, vectors[n] as Float32Array);
  } catch (error) {
    if (error instanceof JetclawError && error.code === "embeddings.rejected") return undefined;
    throw error;
  }
  const least = leastOf(rows);
  const near = (question: string, among: readonly Row[], from: (row: Row) => number): Ranking => {
    const vector = asked.get(question) as Float32Array;
    const found = among
      .map((row) => ({ row, cosine: dot(row.vector, vector) }))
      .filter(({ row, cosine }) => cosine >= from(row))
      .sort((a, b) => b.cosine - a.cosine)
      .slice(0, RANKED);
    return [...new Set(found.map(({ row }) => row.document))];
  };
  /** The asker's language first, the others where it has nothing, as the product asks. */
  const admitted = ({ text, locale }: SetQuestion): Ranking => {
    const from = ({ language }: Row): number => least.get(language) as number;
    const own = near(
      text,
      rows.filter(({ language }) => language === locale),
      from,
    );
    return own.length > 0
      ? own
      : near(
          text,
          rows.filter(({ language }) => language !== locale),
          from,
        );
  };
  return {
    vectors: async (question) => admitted(question),
    nearest: async ({ text }) => near(text, rows, () => -1),
    fused: async (question) => fuse([await words(question), admitted(question)]).map(({ of }) => of),
  };
}

/** From which cosine on a passage counts, a language: measured on one passage a document. */
function leastOf(rows: readonly Row[]): Map<string, number> {
  const byLanguage = new Map<string, Map<string, Float32Array>>();
  for (const { document, language, vector } of rows) {
    const firsts = byLanguage.get(language) ?? new Map<string, Float32Array>();
    if (!firsts.has(document)) firsts.set(document, vector);
    byLanguage.set(language, firsts);
  }
  return new Map([...byLanguage].map(([language, firsts]) => [language, thresholdOf([...firsts.values()])]));
}
