/**
 * The semantic level: `semantic/` decides, here it gets its entries, its vectors and its lessons. Entries are the same as
 * those of identical requests and travel with them over all hosts; what a host learns travels in the entries it makes.
 */
import { LIMITS } from "#contracts/limits.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import { patience, within } from "#runtime/within.ts";
import type { Entries } from "./entries.ts";
import { type CurrentRevisions, type Entry, hasNewText, isCurrent } from "./entry.ts";
import type { Dependency } from "./key.ts";
import type { CacheQuery, ExplainedLevels } from "./port.ts";
import type { Slot } from "./semantic/guards.ts";
import { createSemanticCache } from "./semantic/memory.ts";
import type { DocumentRef, Question, SemanticCache, SemanticEntry, Verdict } from "./semantic/port.ts";

/** The vector of a question, embedded once a turn; undefined where there is none in time. */
export type VectorOf = (question: string) => Promise<Float32Array | undefined>;

export interface SemanticSettings {
  /** Wrong answers that the operator accepts, as a share of hits. */
  readonly errorBound?: number | undefined;
  /** Share of hits that are checked against the model. */
  readonly checkShare?: number | undefined;
  /** Names the model of the vectors. */
  readonly space?: string | undefined;
  /** What an assistant declares; undefined: it has no semantic cache. */
  readonly slotsOf: (assistant: string) => readonly Slot[] | undefined;
}

export interface SemanticParts extends SemanticSettings {
  readonly entries: Entries;
  readonly revisions: CurrentRevisions;
  readonly vectorOf?: VectorOf | undefined;
}

/** A nearest entry that is not current is let go, and the next one asked, so often. */
const TRIES = 8;
/** The vector is there or late; the cache waits for it no longer than whoever retrieves. */
const VECTOR_MS = 200;

/** What became of a question that this level was asked. */
export interface Asked {
  readonly question: Question;
  readonly verdict: Verdict;
}

export class SemanticLevel {
  readonly #parts: SemanticParts;
  readonly #cache: SemanticCache;
  #agreed = 0;
  #differed = 0;

  constructor(parts: SemanticParts) {
    this.#parts = parts;
    const { errorBound, checkShare, slotsOf } = parts;
    this.#cache = createSemanticCache({
      ...(errorBound === undefined ? {} : { errorBound }),
      ...(checkShare === undefined ? {} : { checkShare }),
      slots: (_tenant, assistant) => slotsOf(assistant) ?? [],
    });
  }

  /** How checks ended in this process. */
  get checks(): { readonly agreed: number; readonly differed: number } {
    return { agreed: this.#agreed, differed: this.#differed };
  }

  get size(): number {
    return this.#cache.size;
  }

  takes({ assistant }: Pick<CacheQuery, "assistant">): boolean {
    return this.#parts.slotsOf(assistant) !== undefined;
  }

  add(entry: Entry): void {
    if (this.takes(entry.scope)) this.#cache.add(semanticOf(entry));
  }

  remove(entry: Entry): void {
    this.#cache.remove(entry.id);
  }

  /** Never throws for want of a vector; the entry of a verdict that serves or checks is current. */
  async ask(query: CacheQuery): Promise<Asked & { readonly entry?: Entry }> {
    const vector = await this.#vectorOf(query.question);
    const question = this.#questionOf(query, vector);
    for (let tries = 0; ; tries++) {
      const verdict = this.#cache.lookup(question);
      if (verdict.kind === "miss") return { question, verdict };
      const entry = this.#currentOf(query, verdict.entry.id);
      if (entry) return { question, verdict, entry };
      if (tries < TRIES) continue;
      const { evidence } = verdict;
      return { question, verdict: { kind: "miss", reason: "nothing-near", evidence } };
    }
  }

  /** After a miss or a check: the entry to keep has what was learned in it. */
  learn(asked: Asked, entry: Entry, documents: readonly Dependency[]): Entry {
    const { id, origin: session } = entry;
    const { trial, vector, space } = this.#cache.learn(
      asked.question,
      { id, documents, session },
      asked.verdict,
    );
    if (trial && asked.verdict.kind === "check") {
      if (trial.agreed) this.#agreed++;
      else this.#differed++;
      metrics.cache({ level: "semantic", result: trial.agreed ? "check-agreed" : "check-differed" });
    }
    return { ...entry, documents, vector, space, trial };
  }

  /** Nothing changes but the draw of checks. */
  async explain(query: CacheQuery): Promise<NonNullable<ExplainedLevels["semantic"]>> {
    const { entries, revisions } = this.#parts;
    const verdict = this.#cache.lookup(this.#questionOf(query, await this.#vectorOf(query.question)));
    const { candidates, weighed, confidence, threshold, lessons } = verdict.evidence;
    return {
      decision: verdict.kind,
      reason: verdict.kind === "miss" ? verdict.reason : null,
      weighed: weighed ?? null,
      confidence,
      threshold,
      lessons,
      candidates: candidates.map(({ entry: id, text, cosine, lexical, refused, documents }) => {
        const entry = entries.held(query.tenant, id);
        return {
          entry: id,
          text,
          cosine: cosine ?? null,
          lexical,
          refused,
          current: !!entry && isCurrent(entry, query.tenant, revisions) && !hasNewText(entry, query),
          documents: documents.map(
            ({ collection, document, revision }) => `${collection}/${document}@${revision}`,
          ),
        };
      }),
    };
  }

  /** The entry, where nothing forbids to serve it now; what is not current is let go. */
  #currentOf(query: CacheQuery, id: string): Entry | undefined {
    const { entries, revisions } = this.#parts;
    const entry = entries.held(query.tenant, id);
    if (!entry) {
      // Its place in memory went to others.
      this.#cache.remove(id);
      return undefined;
    }
    if (entry.answer && isCurrent(entry, query.tenant, revisions) && !hasNewText(entry, query)) return entry;
    metrics.cache({ level: "semantic", result: "stale" });
    // While nobody can know what is current nothing is served, and nothing let go.
    if (revisions.fresh()) entries.release(entry);
    return undefined;
  }

  #questionOf(query: CacheQuery, vector: Float32Array | undefined): Question {
    const { tenant, assistant, assistantVersion, tier, locale } = query;
    const found = new Map<string, DocumentRef>();
    for (const { collection, document } of query.passages)
      found.set(`${collection}\n${document}`, { collection, document });
    return {
      scope: { tenant, assistant, assistantVersion, tier, locale },
      text: query.question.slice(0, LIMITS.messageTextChars),
      vector,
      space: vector && this.#parts.space,
      found: [...found.values()],
    };
  }

  async #vectorOf(question: string): Promise<Float32Array | undefined> {
    const { vectorOf } = this.#parts;
    if (!vectorOf) return undefined;
    const vector = await within(
      vectorOf(question).catch(() => undefined),
      patience(VECTOR_MS),
    );
    if (!vector) metrics.cache({ level: "semantic", result: "no-vector" });
    return vector;
  }
}

const semanticOf = (entry: Entry): SemanticEntry => ({
  v: 1,
  id: entry.id,
  scope: { tenant: entry.tenant, ...entry.scope },
  text: entry.question,
  vector: entry.vector,
  space: entry.space,
  documents: entry.documents,
  session: entry.origin,
  trial: entry.trial,
});
