/**
 * Every document of every tenant as this process knows it, cut into passages and searchable. Changes are applied by
 * revision, so that they may arrive twice and in any order. A pure data structure: no clock, no input or output.
 */
import type { Passage } from "#contracts/job.ts";
import type { KnowledgeEvent } from "#contracts/knowledge.ts";
import type { IndexedPassage } from "./hits.ts";
import { baseLanguage, languageOf } from "./language.ts";
import { passagesOf } from "./passages.ts";
import type { RetrievalQuery, StoredChange } from "./port.ts";
import { TermIndex } from "./term-index.ts";

/** Where a document's text is in the index. A deleted document keeps its entry: its revision refuses older changes. */
interface Entry extends StoredChange {
  /** What is asked sees its passages: all of them from one moment to the next, and none of the revision before. */
  searchable: boolean;
  readonly deleted: boolean;
  readonly languages: readonly string[];
  readonly passages: readonly StoredPassage[];
}
export interface StoredPassage extends IndexedPassage {
  /** Headings above the passage's own. */
  readonly above: readonly string[];
  readonly meta: Omit<Passage, "text" | "score">;
  readonly entry: Entry;
}

export interface Ranked {
  readonly passage: StoredPassage;
  /** Higher is better; comparable only inside one result. */
  readonly score: number;
}

/** A passage has to cover more than this share of what the question is about; see term-index.ts. */
const COVERAGE = 0.5;
/** Passages far behind the best one are about something else. */
const SCORE_OF_BEST = 0.2;
/** A document whose language nobody knows is indexed in each that we have words for. */
const UNKNOWN_LANGUAGE: readonly string[] = ["en", "nl"];

// Ids hold no control characters, so this separator cannot occur in them.
const keyOf = (...ids: string[]): string => ids.join("\n");

export class PassageIndex {
  readonly #documents = new Map<string, Entry>();
  /** Of each tenant, an index a language. */
  readonly #tenants = new Map<string, Map<string, TermIndex<StoredPassage>>>();

  /** Takes a change in. False when it was known already or a newer one is. */
  apply(event: KnowledgeEvent, revision: number): boolean {
    for (const steps = this.applying(event, revision, 0); ; ) {
      const { done, value } = steps.next();
      if (done) return value;
    }
  }

  /**
   * The same in steps of some milliseconds, one change after the other: a document may have a thousand passages. Until
   * the last one is in, the revision before answers.
   */
  *applying(event: KnowledgeEvent, revision: number, storedAt: number): Generator<undefined, boolean> {
    const { tenant, collection, document } = event;
    const key = keyOf(tenant, collection, document);
    const known = this.#documents.get(key);
    if (known && known.revision >= revision) return false;
    try {
      const entry = entryOf(event, revision, storedAt);
      yield* this.#eachOf(tenant, entry, (index, passage) => index.add(passage));
      entry.searchable = true;
      this.#documents.set(key, entry);
    } catch (error) {
      // Should the new text not be cut, the old one is gone all the same, and with it every answer from it.
      this.#documents.delete(key);
      throw error;
    } finally {
      if (known) {
        known.searchable = false;
        yield* this.#eachOf(tenant, known, (index, passage) => index.remove(passage));
      }
    }
    return true;
  }

  /** Nothing of what was taken in counts any more. */
  clear(): void {
    this.#documents.clear();
    this.#tenants.clear();
  }

  /** The last change of a document that exists. */
  changeOf(tenant: string, collection: string, document: string): StoredChange | undefined {
    const entry = this.#documents.get(keyOf(tenant, collection, document));
    return entry && !entry.deleted ? entry : undefined;
  }

  /** How many documents of a collection are searchable. */
  count(tenant: string, collection: string): number {
    const prefix = `${keyOf(tenant, collection)}\n`;
    let count = 0;
    for (const [key, { deleted }] of this.#documents) if (!deleted && key.startsWith(prefix)) count++;
    return count;
  }

  /**
   * The passages that answer by their words, best first. Languages are tried in the order of the asker's locale, the
   * language of the question, all others; the next is looked at only when the one before it has nothing.
   */
  retrieve(query: RetrievalQuery): Passage[] {
    for (const languages of this.languagesFor(query)) {
      const hits = this.find(query, languages, query.limit);
      if (hits.length > 0) return hits.slice(0, query.limit).map(asPassage);
    }
    return [];
  }

  /**
   * The languages a question is asked in, those of a group together, one group after the other. Its own is only recognised
   * when the asker's has nothing: that takes longer than the search for its words.
   */
  *languagesFor({ tenant, locale, question }: RetrievalQuery): Generator<string[]> {
    const asked = locale ? baseLanguage(locale) : undefined;
    if (asked !== undefined) yield [asked];
    const own = languageOf(question);
    if (own !== undefined && own !== asked) yield [own];
    const others = [...(this.#tenants.get(tenant)?.keys() ?? [])];
    yield others.filter((language) => language !== asked && language !== own);
  }

  /** Passages in these languages whose words answer the question, best first. */
  find(
    { tenant, collections, question }: RetrievalQuery,
    languages: readonly string[],
    limit: number,
  ): Ranked[] {
    const indexes = this.#tenants.get(tenant);
    if (!indexes || limit <= 0) return [];
    const among = new Set(collections);
    const accepts = ({ collection, entry }: StoredPassage) => entry.searchable && among.has(collection);
    const asked = { question, accepts, limit, coverage: COVERAGE };
    const hits = languages
      .flatMap((language) => indexes.get(language)?.search(asked) ?? [])
      .sort((a, b) => b.score - a.score);
    const best = hits[0]?.score ?? 0;
    // A document of unknown language is in several indexes.
    const unique = new Map(
      hits.filter(({ score }) => score >= SCORE_OF_BEST * best).map(({ passage, score }) => [passage, score]),
    );
    return [...unique].map(([passage, score]) => ({ passage, score }));
  }

  /** The passage with this number in a revision of a document; undefined when the document has changed since. */
  passageAt(at: {
    readonly tenant: string;
    readonly collection: string;
    readonly document: string;
    readonly revision: number;
    readonly passage: number;
  }): StoredPassage | undefined {
    const entry = this.#documents.get(keyOf(at.tenant, at.collection, at.document));
    return entry?.revision === at.revision ? entry.passages[at.passage] : undefined;
  }

  *#eachOf(
    tenant: string,
    { languages, passages }: Entry,
    act: (index: TermIndex<StoredPassage>, passage: StoredPassage) => void,
  ): Generator<undefined> {
    for (const language of languages)
      for (const passage of passages) {
        act(this.#indexOf(tenant, language), passage);
        yield;
      }
  }

  #indexOf(tenant: string, language: string): TermIndex<StoredPassage> {
    const indexes = this.#tenants.get(tenant) ?? new Map<string, TermIndex<StoredPassage>>();
    this.#tenants.set(tenant, indexes);
    const index = indexes.get(language) ?? new TermIndex<StoredPassage>(language);
    indexes.set(language, index);
    return index;
  }
}

/** The passage as it is quoted: under the headings that lead to it. */
function textOf({ above, heading, body }: StoredPassage): string {
  const path = [...above, heading].filter((name) => name !== "");
  return path.length === 0 ? body : `## ${path.join(" > ")}\n\n${body}`;
}

/** A passage as it is quoted. */
export function asPassage({ passage, score }: Ranked): Passage {
  return { ...passage.meta, text: textOf(passage), score };
}

function entryOf(event: KnowledgeEvent, revision: number, storedAt: number): Entry {
  const { collection, document, title, url, locale, deleted } = event;
  const language = locale ? baseLanguage(locale) : languageOf(`${title}\n${event.text}`);
  const tags = (event.tags ?? []).join(" ");
  const meta = {
    collection,
    document,
    revision,
    storedAt,
    title,
    ...(url ? { url } : {}),
    ...(locale ? { locale } : {}),
    ...(event.tags?.length ? { tags: [...event.tags] } : {}),
  };
  const passages: StoredPassage[] = [];
  const languages = language === undefined ? UNKNOWN_LANGUAGE : [language];
  const entry: Entry = { revision, storedAt, searchable: false, deleted, languages, passages };
  if (deleted) return entry;
  for (const [at, { above, heading, body }] of passagesOf(title, event.text).entries()) {
    const context = above.length === 0 ? tags : [tags, ...above].join(" ");
    passages.push({ entry, meta, collection, document, at, title, context, above, heading, body });
  }
  return entry;
}
