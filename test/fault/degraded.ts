// The mode `degraded`: turns while what only helps them is away. Each fault is measured against the same turns before it in
// the same run; the control slows down what a turn cannot do without, and has to be found.
import { decode } from "#contracts/codec.ts";
import { BUCKETS, bucketStream, bucketSubject } from "#contracts/subjects.ts";
import type { TurnRecord } from "#contracts/turn.ts";
import { provision } from "#runtime/nats/topology.ts";
import { enableMetrics, prometheusText } from "#runtime/observe/metrics.ts";
import { stretchPatience } from "#runtime/within.ts";
import { CachedWorld } from "#test/harness/cached-world.ts";
import { type EmbeddingModel, embeddingModel } from "#test/harness/embedding-model.ts";
import { startTestQdrant, type TestQdrant } from "#test/harness/qdrant.ts";
import { waitUntil } from "#test/harness/wait.ts";
import type { Findings } from "./midstream.ts";

/** What a turn may take longer while something that only helps it is away. */
const EXTRA_MS = 300;
const IN_FLIGHT = 4;
const SLOW_MS = 1_000;
const HEALED_MS = 60_000;
const ANSWER_MS = 20_000;
const TOPICS = "zebra walrus parrot salmon badger gibbon falcon lizard beaver donkey".split(" ");

interface Parts {
  readonly world: CachedWorld;
  readonly model: EmbeddingModel;
  readonly qdrant: TestQdrant;
}

interface Degradation {
  readonly name: string;
  /** @returns what heals it */
  readonly cause: (parts: Parts) => Promise<() => Promise<void>>;
  /** Counters that say so: the name of the metric, and what its labels contain. */
  readonly counted: readonly (readonly [metric: string, labels: string])[];
  /** What moves again when it is healed. */
  readonly healed: readonly (readonly [metric: string, labels: string])[];
}

const VECTORS_ABSENT = ["retrievals", 'part="vectors",result="absent"'] as const;
const VECTORS_FOUND = ["retrievals", 'part="vectors",result="found"'] as const;
const STORE_AWAY = ["cache_lookups", 'level="shared",result="timeout"'] as const;
const STORE_RESTS = ["cache_lookups", 'level="shared",result="resting"'] as const;
const STORE_MISS = ["cache_lookups", 'level="shared",result="miss"'] as const;

const mood = (name: string, change: Partial<Pick<EmbeddingModel, "mood" | "delayMs">>): Degradation => ({
  name,
  async cause({ model }) {
    Object.assign(model, change);
    return async () => void Object.assign(model, { mood: "fine", delayMs: 0 });
  },
  counted: [VECTORS_ABSENT],
  healed: [VECTORS_FOUND],
});

const QDRANT_SILENT: Degradation = {
  name: "qdrantSilent",
  async cause({ qdrant }) {
    qdrant.interfere(() => true);
    return async () => qdrant.interfere(undefined);
  },
  counted: [VECTORS_ABSENT],
  healed: [VECTORS_FOUND],
};

/** Whoever asks the bucket's stream gets neither an answer nor a refusal. */
const STORE_STALLED: Degradation = {
  name: "storeStalled",
  async cause({ world }) {
    const stream = bucketStream(BUCKETS.cache);
    const silent = [`$JS.API.DIRECT.GET.${stream}.>`, bucketSubject(BUCKETS.cache, ">")].map((subject) =>
      world.bus.subscribe(subject, () => {}),
    );
    await world.bus.jsm.streams.delete(stream);
    return async () => {
      for (const each of silent) each.stop();
      await provision(world.bus, { pools: ["default"] });
    };
  },
  counted: [STORE_AWAY, STORE_RESTS],
  healed: [STORE_MISS],
};

const DEGRADATIONS: readonly Degradation[] = [
  {
    name: "qdrantStopped",
    async cause({ qdrant }) {
      await qdrant.halt();
      return () => qdrant.resume();
    },
    counted: [VECTORS_ABSENT],
    healed: [VECTORS_FOUND],
  },
  QDRANT_SILENT,
  mood("embeddingsFail", { mood: 500 }),
  mood("embeddingsSilent", { mood: "silent" }),
  mood("embeddingsSlow", { delayMs: SLOW_MS }),
  STORE_STALLED,
  {
    name: "everything",
    async cause(parts) {
      const heal = await Promise.all(
        [QDRANT_SILENT, mood("", { mood: "silent" }), STORE_STALLED].map((each) => each.cause(parts)),
      );
      return async () => {
        for (const each of heal) await each();
      };
    },
    counted: [VECTORS_ABSENT, STORE_AWAY],
    healed: [VECTORS_FOUND, STORE_MISS],
  },
];

const MODEL_SLOW: Degradation = {
  name: "modelSlow",
  async cause({ world }) {
    world.model.delayMs = SLOW_MS;
    return async () => {
      world.model.delayMs = 0;
    };
  },
  counted: [],
  healed: [],
};

export interface DegradedOptions {
  /** Of each fault, and of the same turns before it. */
  readonly turns: number;
  readonly control: boolean;
  readonly say: (line: string) => void;
}

export async function degraded({ turns, control, say }: DegradedOptions): Promise<Findings> {
  const model = await embeddingModel();
  const qdrant = await startTestQdrant();
  const world = await CachedWorld.start(2, {
    embeddings: { baseUrl: model.baseUrl, model: "meanings", thresholds: { en: 0.3 } },
    qdrant: { url: qdrant.url },
  });
  // The harness waits longer than the product does; here it is what a turn waits that is measured.
  stretchPatience(1);
  try {
    await world.indexer();
    for (const topic of TOPICS)
      await world.put(
        topic,
        `A ${topic} eats what a ${topic} likes, and visitors may feed the ${topic} at noon.`,
      );
    const asking = new Asking(world);
    await asking.many(turns);
    const figures: Record<string, number> = {};
    const broken: string[] = [];
    for (const each of control ? [MODEL_SLOW] : DEGRADATIONS) {
      const found = await measure({ world, model, qdrant }, asking, each, turns);
      const { extraP99Ms, unanswered, counted } = found;
      say(
        `${each.name}: ${extraP99Ms} ms more at p99 (${found.calmP99Ms} -> ${found.p99Ms}, most ${found.mostMs}), ${unanswered} unanswered, counted ${counted} times`,
      );
      for (const [name, value] of Object.entries(found))
        figures[`${each.name}${name[0]?.toUpperCase()}${name.slice(1)}`] = value;
      if (extraP99Ms > EXTRA_MS) broken.push(`${each.name}: a turn takes ${extraP99Ms} ms more`);
      if (unanswered > 0) broken.push(`${each.name}: ${unanswered} turns are not answered`);
      if (each.counted.length > 0 && counted === 0) broken.push(`${each.name} is counted nowhere`);
    }
    return { figures, broken };
  } finally {
    await world.stop();
    await qdrant.stop();
    await model.stop();
  }
}

type Measured = Readonly<
  Record<
    "calmP50Ms" | "calmP99Ms" | "p50Ms" | "p99Ms" | "mostMs" | "extraP99Ms" | "unanswered" | "counted",
    number
  >
>;

async function measure(parts: Parts, asking: Asking, fault: Degradation, turns: number): Promise<Measured> {
  const calm = await asking.many(turns);
  await enableMetrics();
  const before = await countOf(fault.counted);
  const heal = await fault.cause(parts);
  const hit = await asking.many(turns);
  const counted = (await countOf(fault.counted)) - before;
  await heal();
  const moved = async (): Promise<boolean> => {
    const counts = await Promise.all(fault.healed.map((each) => countOf([each])));
    await asking.many(IN_FLIGHT);
    const now = await Promise.all(fault.healed.map((each) => countOf([each])));
    return now.every((count, n) => count > (counts[n] as number));
  };
  await waitUntil(moved, { timeoutMs: HEALED_MS, what: `${fault.name} to be over`, pollMs: 100 });
  const at = (took: readonly number[], share: number): number =>
    Math.round(took[Math.min(took.length - 1, Math.floor(took.length * share))] ?? 0);
  return {
    calmP50Ms: at(calm.took, 0.5),
    calmP99Ms: at(calm.took, 0.99),
    p50Ms: at(hit.took, 0.5),
    p99Ms: at(hit.took, 0.99),
    mostMs: at(hit.took, 1),
    extraP99Ms: at(hit.took, 0.99) - at(calm.took, 0.99),
    unanswered: hit.unanswered + calm.unanswered,
    counted,
  };
}

/** Turns of sessions of their own, each with a question that nobody asked before. */
class Asking {
  readonly #world: CachedWorld;
  readonly #answered = new Map<string, (record: TurnRecord | undefined) => void>();
  #asked = 0;

  constructor(world: CachedWorld) {
    this.#world = world;
    world.bus.subscribe("turn.>", ({ data }) => {
      const record = decode<TurnRecord>(data);
      this.#answered.get(record.session)?.(record);
    });
  }

  /** @returns ms of each turn from its message to its record, ascending, and how many had none or an apology */
  async many(turns: number): Promise<{ readonly took: readonly number[]; readonly unanswered: number }> {
    const took: number[] = [];
    let unanswered = 0;
    const end = this.#asked + turns;
    const ask = async (): Promise<void> => {
      while (this.#asked < end) {
        const n = this.#asked++;
        const session = `visitor-${n}`;
        const from = performance.now();
        const record = await this.#one(
          session,
          `What may visitor ${n} feed the ${TOPICS[n % TOPICS.length]} with?`,
        );
        took.push(performance.now() - from);
        if (record?.outcome !== "answered") unanswered++;
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, ask));
    return { took: took.sort((a, b) => a - b), unanswered };
  }

  async #one(session: string, question: string): Promise<TurnRecord | undefined> {
    const recorded = new Promise<TurnRecord | undefined>((resolve) => {
      this.#answered.set(session, resolve);
      setTimeout(resolve, ANSWER_MS, undefined).unref();
    });
    await this.#world.send(session, question);
    const record = await recorded;
    this.#answered.delete(session);
    return record;
  }
}

/** The sum of counters of this process, whose hosts they count. */
async function countOf(counters: readonly (readonly [metric: string, labels: string])[]): Promise<number> {
  const lines = (await prometheusText()).split("\n");
  const of = ([metric, labels]: readonly [string, string]): number =>
    lines
      .filter((line) => line.startsWith(`jetclaw_${metric}`) && line.includes(labels))
      .reduce((sum, line) => sum + Number(/\} (\d+)/.exec(line)?.[1] ?? 0), 0);
  return counters.reduce((sum, each) => sum + of(each), 0);
}
