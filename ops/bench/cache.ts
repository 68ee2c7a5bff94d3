/** `jetclaw bench cache`: how much inference the caches avoid on labelled traffic, and how often they are wrong. */
import { normaliseQuestion } from "#actors/cache/key.ts";
import { recordedEmbedder } from "#actors/knowledge/embeddings/recorded.ts";
import { lookupFigures } from "./cache-lookup.ts";
import { type Played, Replay, type ReplayOptions } from "./cache-replay.ts";
import { type LabelledRequest, readArticles } from "./cache-traffic.ts";
import { type BenchResult, describeMachine, quantile, round } from "./shape.ts";

export interface CacheOptions extends Omit<ReplayOptions, "traffic" | "articles" | "vectorOf" | "judged"> {
  readonly traffic: readonly LabelledRequest[];
  /** What the traffic is called in the result. */
  readonly name: string;
  readonly knowledge?: string | undefined;
  /** Prefix of recorded vectors. */
  readonly vectors?: string | undefined;
  /** Entries that the cache is filled up to before its look-ups are timed; 0 for none. */
  readonly entries: number;
  /** Look-ups of identical questions, timed on a server. */
  readonly response?: { readonly natsServer: string; readonly figures: Record<string, number> } | undefined;
  readonly usdPerMTokIn: number;
  readonly usdPerMTokOut: number;
  readonly inputTokens: number;
  readonly say: (line: string) => void;
}

/** Baselines: what exact repeats alone give. */
export const EXACT = "exactOnly";
const CHARS_PER_TOKEN = 4;

export async function benchCache(options: CacheOptions): Promise<BenchResult> {
  const { traffic, vectors, seed, say } = options;
  const articles = await readArticles(options.knowledge, traffic);
  const recorded = vectors === undefined ? undefined : await readVectors(vectors, traffic);
  const vectorOf = (text: string): Float32Array | undefined => recorded?.get(text);
  const run = (judged: boolean) => {
    const replay = new Replay({ ...options, articles, vectorOf, judged });
    return { replay, played: traffic.map((request) => replay.play(request)) };
  };
  say(
    `${traffic.length} requests, ${articles.length} documents, ${recorded ? `vectors of ${recorded.size} texts` : "no vectors"}`,
  );
  const { replay, played } = run(false);
  const judged = run(true).played;
  if (options.entries > 0) say(`${options.entries} entries`);
  const filled =
    options.entries > 0 ? lookupFigures(replay.semantic, traffic, vectorOf, options.entries, seed) : {};
  const exact = exactRepeats(traffic);
  const replyTokens = meanOf(articles.map(({ text }) => text.length)) / CHARS_PER_TOKEN;
  const usdPerAnswer =
    (options.inputTokens * options.usdPerMTokIn + replyTokens * options.usdPerMTokOut) / 1e6;
  const figures = {
    ...figuresOf(played),
    exactOnly: exact,
    usdSavedPerThousand: round(1_000 * usdPerAnswer * shareOf(played, isServed), 4),
    judgedInferenceAvoided: shareOf(judged, isServed),
    judgedWrongPerHit: wrongPerHit(judged),
    judgedKeptOut: shareOf(judged, ({ request, reason }) => !request.noise && reason === "kept-out"),
    ...filled,
    ...options.response?.figures,
  };
  return {
    bench: "cache",
    seed,
    machine: describeMachine(options.response?.natsServer ?? "none"),
    config: {
      traffic: options.name,
      requests: traffic.length,
      documents: articles.length,
      vectors: vectors ?? "none",
      withoutVector: recorded
        ? new Set(traffic.map(({ text }) => text).filter((text) => !recorded.has(text))).size
        : 0,
      leak: options.leak,
      changes: options.changes,
      lag: options.lag,
      errorBound: options.errorBound,
      checkShare: options.checkShare,
      entries: options.entries,
      price: `${options.inputTokens} tokens in at ${options.usdPerMTokIn}, ${round(replyTokens, 0)} out at ${options.usdPerMTokOut} USD a million`,
      misses: countsOf(played),
    },
    figures,
    units: unitsOf(figures),
    baselines: { [`${EXACT}InferenceAvoided`]: exact },
  };
}

const isServed = ({ served }: Played): boolean => served !== "none";

function figuresOf(played: readonly Played[]): Record<string, number> {
  const times = played.flatMap(({ lookupMs }) => (lookupMs === undefined ? [] : [lookupMs]));
  const kind = (wanted: Played["wrong"]): number => played.filter(({ wrong }) => wrong === wanted).length;
  const unseen = played.filter(({ repeated, request }) => !repeated && !request.noise);
  return {
    inferenceAvoided: shareOf(played, isServed),
    wrongPerHit: wrongPerHit(played),
    wrongPerRequest: shareOf(played, ({ wrong }) => wrong !== undefined),
    otherEntity: kind("other-entity"),
    stale: kind("stale"),
    otherIntent: kind("other-intent"),
    uncacheable: kind("uncacheable"),
    responseHits: shareOf(played, ({ served }) => served === "response"),
    semanticHits: shareOf(played, ({ served }) => served === "semantic"),
    unseenAvoided: shareOf(unseen, isServed),
    checked: shareOf(played, ({ checked }) => checked),
    lookupP50Ms: round(quantile(times, 0.5)),
    lookupP99Ms: round(quantile(times, 0.99)),
  };
}

function wrongPerHit(played: readonly Played[]): number {
  return shareOf(played.filter(isServed), ({ wrong }) => wrong !== undefined);
}

const shareOf = (played: readonly Played[], where: (one: Played) => boolean): number =>
  played.length === 0 ? 0 : round(played.filter(where).length / played.length, 4);

const meanOf = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / (values.length || 1);

/** Of the requests, those that an exact match of normalised texts alone would answer rightly. */
function exactRepeats(traffic: readonly LabelledRequest[]): number {
  const seen = new Set<string>();
  let hits = 0;
  for (const { text, noise } of traffic) {
    const plain = normaliseQuestion(text);
    if (seen.has(plain)) hits++;
    if (!noise) seen.add(plain);
  }
  return round(hits / traffic.length, 4);
}

function countsOf(played: readonly Played[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { reason } of played) if (reason !== undefined) counts[reason] = (counts[reason] ?? 0) + 1;
  return counts;
}

function unitsOf(figures: Readonly<Record<string, number>>): Record<string, string> {
  const counts = new Set(["otherEntity", "stale", "otherIntent", "uncacheable", "entriesHeld"]);
  return Object.fromEntries(
    Object.keys(figures).map((name) => {
      if (name.endsWith("Ms")) return [name, "ms"];
      if (name.endsWith("Mb")) return [name, "MB"];
      if (name.endsWith("Seconds")) return [name, "s"];
      if (name.endsWith("Thousand")) return [name, "USD/1,000 requests"];
      return [name, counts.has(name) ? "requests" : "ratio"];
    }),
  );
}

/** Vectors by text. A text of which none was recorded is compared by its words. */
async function readVectors(
  prefix: string,
  traffic: readonly LabelledRequest[],
): Promise<Map<string, Float32Array>> {
  const embedder = await recordedEmbedder(prefix);
  const vectors = new Map<string, Float32Array>();
  for (const text of new Set(traffic.map((request) => request.text))) {
    const [vector] = await embedder.embed([text]).catch(() => []);
    if (vector) vectors.set(text, vector);
  }
  return vectors;
}
