/**
 * Plays labelled questions through the code of the caches, in one process and without NATS: what may be cached, the key
 * of identical requests, the semantic cache, and the comparison of revisions before anything is served. The model is an
 * oracle: it answers with the document of the question's group and cites it; noise it answers without citation.
 */
import { judge } from "#actors/cache/cacheability.ts";
import { type Dependency, fingerprintOf } from "#actors/cache/key.ts";
import { createSemanticCache } from "#actors/cache/semantic/memory.ts";
import type { Question, SemanticCache } from "#actors/cache/semantic/port.ts";
import { PassageIndex } from "#actors/knowledge/passage-index.ts";
import type { Passage } from "#contracts/job.ts";
import type { Article, LabelledRequest } from "./cache-traffic.ts";
import { randomFrom } from "./shape.ts";

export interface ReplayOptions {
  readonly traffic: readonly LabelledRequest[];
  readonly articles: readonly Article[];
  readonly vectorOf: (text: string) => Float32Array | undefined;
  readonly seed: number;
  /** Share of noise that the oracle answers with a citation of a wrong document. */
  readonly leak: number;
  /** Documents changed, a request. */
  readonly changes: number;
  /** Requests until the invalidator has heard of a change; look-ups compare revisions at once. */
  readonly lag: number;
  readonly errorBound: number;
  readonly checkShare: number;
  /** Questions that the runtime would keep from caches are kept from them. */
  readonly judged: boolean;
  readonly locale: string;
}

export type Wrong = "other-intent" | "other-entity" | "stale" | "uncacheable";
export type Served = "response" | "semantic" | "none";

export interface Played {
  readonly request: LabelledRequest;
  readonly served: Served;
  /** Set where the request was checked, and so not avoided. */
  readonly checked: boolean;
  readonly wrong?: Wrong | undefined;
  /** The same words, normalised, came before. */
  readonly repeated: boolean;
  /** Of the look-up in the semantic cache. */
  readonly lookupMs?: number;
  /** Why the semantic cache served nothing. */
  readonly reason?: string;
  /** The question whose answer was served. */
  readonly source?: LabelledRequest | undefined;
}

interface Kept {
  readonly from: LabelledRequest;
  readonly documents: readonly Dependency[];
  /** What it rests on: cited, or read by the model. */
  readonly rests: readonly Dependency[];
}

const TENANT = "bench";
const COLLECTION = "kb";

export class Replay {
  readonly semantic: SemanticCache;
  readonly #options: ReplayOptions;
  readonly #random: () => number;
  readonly #index = new PassageIndex();
  readonly #revisions = new Map<string, number>();
  readonly #responses = new Map<string, Kept>();
  readonly #kept = new Map<string, Kept>();
  readonly #seen = new Set<string>();
  readonly #late: { readonly at: number; readonly document: string }[] = [];
  #revision = 0;
  #asked = 0;
  #played = 0;

  constructor(options: ReplayOptions) {
    this.#options = options;
    this.#random = randomFrom(options.seed);
    const { errorBound, checkShare, seed } = options;
    this.semantic = createSemanticCache({ errorBound, checkShare, seed });
    for (const article of options.articles) this.#write(article);
  }

  play(request: LabelledRequest): Played {
    this.#change();
    const { text } = request;
    const passages = this.#index.retrieve({
      tenant: TENANT,
      collections: [COLLECTION],
      question: text,
      locale: this.#options.locale,
      limit: 4,
    });
    const wording = this.#keyOf(text, []);
    const repeated = this.#seen.has(wording);
    this.#seen.add(wording);
    const base = { request, repeated, checked: false };
    const { levels, keeps } = this.#options.judged
      ? judge({ question: text, locale: this.#options.locale, earlier: [] })
      : { levels: "both", keeps: true };
    if (levels === "none") return { ...base, served: "none", reason: "kept-out" };
    const key = this.#keyOf(text, passages);
    const known = this.#responses.get(key);
    if (known && this.#isCurrent(known))
      return { ...base, served: "response", wrong: this.#judge(request, known), source: known.from };
    const answer = (): Kept => this.#answer(request, passages);
    if (levels !== "both") {
      const kept = answer();
      if (keeps && kept.documents.length > 0) this.#responses.set(key, kept);
      return { ...base, served: "none", reason: "response-only" };
    }
    return { ...base, ...this.#askSemantic(request, passages, key, keeps) };
  }

  #askSemantic(
    request: LabelledRequest,
    passages: readonly Passage[],
    key: string,
    keeps: boolean,
  ): Pick<Played, "served"> & Partial<Played> {
    const question: Question = {
      scope: this.#scope(),
      text: request.text,
      vector: this.#options.vectorOf(request.text),
      found: passages.map(({ collection, document }) => ({ collection, document })),
    };
    const from = performance.now();
    let verdict = this.semantic.lookup(question);
    const lookupMs = performance.now() - from;
    while (verdict.kind !== "miss") {
      const kept = this.#kept.get(verdict.entry.id);
      if (kept && this.#isCurrent(kept)) {
        if (verdict.kind === "check") break;
        return { served: "semantic", wrong: this.#judge(request, kept), lookupMs, source: kept.from };
      }
      this.semantic.remove(verdict.entry.id);
      verdict = this.semantic.lookup(question);
    }
    const kept = this.#answer(request, passages);
    if (keeps) {
      const id = `${this.#asked++}`;
      this.semantic.learn(question, { id, documents: kept.documents }, verdict);
      this.#kept.set(id, kept);
      if (kept.documents.length > 0) this.#responses.set(key, kept);
    }
    const checked = verdict.kind === "check";
    return {
      served: "none",
      checked,
      lookupMs,
      ...(verdict.kind === "miss" ? { reason: verdict.reason } : {}),
    };
  }

  #answer(from: LabelledRequest, passages: readonly Passage[]): Kept {
    const cited = from.group ?? (this.#random() < this.#options.leak ? this.#anyDocument() : undefined);
    const documents = cited === undefined ? [] : [this.#dependencyOn(cited)];
    return {
      from,
      documents,
      rests: [
        ...documents,
        ...passages.map(({ document, revision }) => ({ collection: COLLECTION, document, revision })),
      ],
    };
  }

  #judge({ noise, group, entity }: LabelledRequest, kept: Kept): Wrong | undefined {
    if (noise) return "uncacheable";
    if (kept.from.group !== group) return "other-intent";
    if (kept.from.entity !== entity) return "other-entity";
    return kept.documents.every((on) => this.#revisions.get(on.document) === on.revision)
      ? undefined
      : "stale";
  }

  /** As the caches do before they serve: every document at the revision it had. */
  #isCurrent({ rests }: Kept): boolean {
    return rests.every(
      ({ document, revision }) => this.#index.changeOf(TENANT, COLLECTION, document)?.revision === revision,
    );
  }

  #change(): void {
    this.#played++;
    for (let next = this.#late[0]; next && next.at <= this.#played; next = this.#late[0]) {
      this.#late.shift();
      const { document } = next;
      this.semantic.removeDocument(
        TENANT,
        { collection: COLLECTION, document },
        this.#revisions.get(document),
      );
    }
    if (this.#random() >= this.#options.changes) return;
    const article = this.#options.articles[Math.floor(this.#random() * this.#options.articles.length)];
    if (!article) return;
    this.#write(article);
    this.#late.push({ at: this.#played + this.#options.lag, document: article.id });
  }

  #write({ id, title, text }: Article): void {
    const revision = ++this.#revision;
    this.#revisions.set(id, revision);
    const event = { v: 1, tenant: TENANT, collection: COLLECTION, document: id, deleted: false } as const;
    this.#index.apply({ ...event, title, text, locale: this.#options.locale, at: 0 }, revision);
  }

  #anyDocument(): string {
    const { articles } = this.#options;
    return articles[Math.floor(this.#random() * articles.length)]?.id ?? "";
  }

  #dependencyOn(document: string): Dependency {
    return { collection: COLLECTION, document, revision: this.#revisions.get(document) ?? 0 };
  }

  #keyOf(question: string, passages: readonly Passage[]): string {
    return fingerprintOf({ ...this.#scope(), question, passages, position: { revision: 0, storedAt: 0 } });
  }

  #scope() {
    const { locale } = this.#options;
    return { tenant: TENANT, assistant: "bench", assistantVersion: "1", tier: "small", locale };
  }
}
