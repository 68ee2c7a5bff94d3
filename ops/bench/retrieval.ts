/** `jetclaw bench retrieval`: how often the right document is found, by words, by vectors, and by both fused. */
import { openaiEmbeddings } from "#actors/knowledge/embeddings/openai.ts";
import { recordedEmbedder } from "#actors/knowledge/embeddings/recorded.ts";
import { PassageIndex } from "#actors/knowledge/passage-index.ts";
import { type RetrievalSet, retrievalSets, type SetFiles, type SetQuestion } from "./retrieval-sets.ts";
import { vectorMethods } from "./retrieval-vectors.ts";
import { type BenchResult, describeMachine, quantile, round } from "./shape.ts";

export interface RetrievalBench extends SetFiles {
  /** PREFIX of recorded vectors; without it words alone are measured. */
  readonly vectors?: string | undefined;
  /** A model that embeds, instead of recorded vectors. */
  readonly embeddings?: { readonly baseUrl: string; readonly model: string } | undefined;
  readonly say: (line: string) => void;
}

/** Documents of one question, best first, each once. */
export type Ranking = readonly string[];
export type Method = (question: SetQuestion) => Promise<Ranking>;

const TENANT = "bench";
const COLLECTION = "bench";
const LIMIT = 6;
const EMBED_MS = 120_000;

/** Undefined where there is no data. */
export async function benchRetrieval(options: RetrievalBench): Promise<BenchResult | undefined> {
  const sets = await retrievalSets(options);
  if (!sets) return undefined;
  const { vectors, embeddings } = options;
  const live = embeddings && openaiEmbeddings({ ...embeddings, purpose: "document", timeoutMs: EMBED_MS });
  const embedder = live ?? (vectors ? await recordedEmbedder(vectors) : undefined);
  const figures: Record<string, number> = {};
  const baselines: Record<string, number> = {};
  const times: number[] = [];
  for (const set of sets) {
    const index = indexOf(set);
    const words: Method = async (question) => {
      const from = performance.now();
      const found = wordsOf(index, question);
      times.push(performance.now() - from);
      return found;
    };
    const byWords = await score(set, words);
    options.say(`${set.name}: ${set.questions.length} questions over ${set.documents.length} documents`);
    const both = embedder && (await vectorMethods(set, words, embedder));
    Object.assign(figures, named(set.name, both ? await score(set, both.fused) : byWords));
    if (embedder && !both) options.say(`${set.name}: no vectors were recorded for it, words alone`);
    if (both) {
      Object.assign(baselines, named(`words${capital(set.name)}`, byWords));
      Object.assign(baselines, named(`vectors${capital(set.name)}`, await score(set, both.vectors)));
      Object.assign(baselines, named(`nearest${capital(set.name)}`, await score(set, both.nearest)));
    }
  }
  await live?.close();
  figures.wordsP50Ms = round(quantile(times, 0.5));
  figures.wordsP99Ms = round(quantile(times, 0.99));
  return {
    bench: "retrieval",
    seed: 0,
    machine: describeMachine("none"),
    config: {
      knowledge: options.knowledge,
      questions: options.questions,
      vectors: embedder?.model ?? "none: figures are of words alone",
      limit: LIMIT,
      sets: Object.fromEntries(sets.map((set) => [set.name, sizeOf(set)])),
    },
    figures,
    units: unitsOf(figures, baselines),
    baselines,
  };
}

function sizeOf({ documents, questions }: RetrievalSet): Record<string, number> {
  const answerable = questions.filter((question) => question.documents.length > 0).length;
  return { documents: documents.length, answerable, outOfScope: questions.length - answerable };
}

/** Without what a set has no questions for. */
interface Scores {
  /** Of questions that have an answer: the right document first, among the first three, nothing found at all. */
  readonly first: number;
  readonly top3: number;
  readonly nothing: number;
  /** Of questions that have none: nothing found, as it should be. */
  readonly silent?: number;
}

async function score({ questions }: RetrievalSet, method: Method): Promise<Scores> {
  const count = { first: 0, top3: 0, nothing: 0, silent: 0 };
  let answerable = 0;
  for (const question of questions) {
    const found = await method(question);
    const right = (document: string): boolean => question.documents.includes(document);
    if (question.documents.length === 0) {
      if (found.length === 0) count.silent++;
      continue;
    }
    answerable++;
    if (found.slice(0, 1).some(right)) count.first++;
    if (found.slice(0, 3).some(right)) count.top3++;
    if (found.length === 0) count.nothing++;
  }
  const share = (part: number, of: number): number => (of === 0 ? 0 : round(part / of));
  return {
    first: share(count.first, answerable),
    top3: share(count.top3, answerable),
    nothing: share(count.nothing, answerable),
    ...(answerable === questions.length
      ? {}
      : { silent: share(count.silent, questions.length - answerable) }),
  };
}

function indexOf({ documents }: RetrievalSet): PassageIndex {
  const index = new PassageIndex();
  for (const [n, { document, input }] of documents.entries())
    index.apply(
      { v: 1, tenant: TENANT, collection: COLLECTION, document, deleted: false, at: 0, ...input },
      n + 1,
    );
  return index;
}

const wordsOf = (index: PassageIndex, { text, locale }: SetQuestion): string[] =>
  unique(
    index
      .retrieve({ tenant: TENANT, collections: [COLLECTION], question: text, locale, limit: LIMIT })
      .map(({ document }) => document),
  );

const unique = (documents: readonly string[]): string[] => [...new Set(documents)];

const named = (name: string, scores: Scores): Record<string, number> =>
  Object.fromEntries(Object.entries(scores).map(([key, value]) => [`${name}${capital(key)}`, value]));

const capital = (text: string): string => `${text[0]?.toUpperCase()}${text.slice(1)}`;

function unitsOf(...all: Record<string, number>[]): Record<string, string> {
  const names = all.flatMap((figures) => Object.keys(figures));
  return Object.fromEntries(names.map((name) => [name, name.endsWith("Ms") ? "ms" : "share"]));
}
