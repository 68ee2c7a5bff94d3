/**
 * From which cosine on a passage answers. A model has its own scale, and in a language that it was not trained for
 * everything is near everything: so the scale is measured, a tenant and language at a time, on pairs of passages of
 * different documents. What is nearer to a question than such pairs usually are to each other (their mean and one
 * standard deviation) is about the same thing.
 */
import { VECTORS, vectorsFilter } from "#contracts/subjects.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { messagesFrom } from "#runtime/nats/reader.ts";
import type { Log } from "#runtime/observe/log.ts";
import { dot } from "../embeddings/unit-length.ts";
import { decodeRecord } from "./vector-record.ts";

/** Documents that are looked at; 200 of them are 20,000 pairs. */
const SAMPLE_DOCUMENTS = 200;
/** With fewer documents their pairs say nothing. */
const LEAST_DOCUMENTS = 8;
const UNKNOWN = 0.4;
/** Whatever the pairs say: below, texts have nothing in common; above, not even a paraphrase would get through. */
const LOWEST = 0.3;
const HIGHEST = 0.8;
/** Documents come and go; so often it is measured again. */
const VALID_MS = 300_000;
/** Vectors of another length are of a model that was measured never: it is looked for so often. */
const OTHERS_MS = 5_000;

interface Measured {
  /** Numbers of the vectors that were measured. */
  readonly length: number | undefined;
  readonly byLanguage: ReadonlyMap<string, number>;
  readonly at: number;
}

export class Thresholds {
  readonly #bus: Bus;
  readonly #space: string;
  readonly #given: ReadonlyMap<string, number>;
  readonly #log: Log;
  readonly #measured = new Map<string, Measured>();
  readonly #measuring = new Map<string, Promise<void>>();

  /** @param given what the configuration says, a language */
  constructor(
    bus: Bus,
    options: { space: string; given?: Readonly<Record<string, number>> | undefined; log: Log },
  ) {
    this.#bus = bus;
    this.#space = options.space;
    this.#given = new Map(Object.entries(options.given ?? {}));
    this.#log = options.log;
  }

  /** Resolves when the tenant has been measured once; later measurements disturb nobody. */
  async ready(tenant: string): Promise<void> {
    const known = this.#measured.get(tenant);
    if (known && performance.now() - known.at < VALID_MS) return;
    const measuring = this.#measuring.get(tenant) ?? this.#measure(tenant);
    if (!known) await measuring;
  }

  /** @param length numbers of the question's vector */
  of(tenant: string, language: string, length: number): number {
    const given = this.#given.get(language);
    if (given !== undefined) return given;
    const measured = this.#measured.get(tenant);
    if (measured?.length === length) return measured.byLanguage.get(language) ?? UNKNOWN;
    // The scale of the model before says nothing of this one.
    if (measured && performance.now() - measured.at > OTHERS_MS && !this.#measuring.has(tenant))
      void this.#measure(tenant);
    return UNKNOWN;
  }

  #measure(tenant: string): Promise<void> {
    const measuring = messagesFrom(
      this.#bus,
      VECTORS,
      vectorsFilter(this.#space, tenant),
      1,
      SAMPLE_DOCUMENTS,
    )
      .then((messages) => {
        const records = messages.flatMap(({ data }) => decodeRecord(data) ?? []);
        const alike = mostAlike(
          records.filter(({ vectors }) => vectors.length > 0),
          ({ vectors }) => vectors[0],
        );
        const measured = [...Map.groupBy(alike, ({ language }) => language)].map(
          ([language, some]) =>
            [language, thresholdOf(some.flatMap(({ vectors: [first] }) => first ?? []))] as const,
        );
        const length = alike[0]?.vectors[0]?.length;
        this.#measured.set(tenant, { length, byLanguage: new Map(measured), at: performance.now() });
      })
      .catch((err) => this.#log.warn({ err }, "the scale of the vectors is not measured"))
      .finally(() => this.#measuring.delete(tenant));
    this.#measuring.set(tenant, measuring);
    return measuring;
  }
}

/** @param given one a document; while all are made anew with a model of another length there are both */
export function thresholdOf(given: readonly Float32Array[]): number {
  const vectors = mostAlike(given, (vector) => vector);
  if (vectors.length < LEAST_DOCUMENTS) return UNKNOWN;
  let pairs = 0;
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < vectors.length; i++)
    for (let j = 0; j < i; j++) {
      const cosine = dot(vectors[i] as Float32Array, vectors[j] as Float32Array);
      pairs++;
      sum += cosine;
      squares += cosine * cosine;
    }
  const mean = sum / pairs;
  const deviation = Math.sqrt(Math.max(0, squares / pairs - mean * mean));
  return Math.min(HIGHEST, Math.max(LOWEST, mean + deviation));
}

/** Those whose vectors have the length that most have. */
function mostAlike<T>(given: readonly T[], vectorOf: (each: T) => Float32Array | undefined): readonly T[] {
  const byLength = Map.groupBy(given, (each) => vectorOf(each)?.length);
  return [...byLength.values()].reduce((most, each) => (each.length > most.length ? each : most), []);
}
