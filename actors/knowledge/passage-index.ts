/**
 * Every document of every tenant as this process knows it, cut into passages and searchable. Changes are applied by
 * revision, so that they may arrive twice and in any order. A pure data structure: no clock, no input or output.
 */
import type { Passage } from "#contracts/job.ts";
import type { KnowledgeEvent } from "#contracts/knowledge.ts";
import { baseLanguage, languageOf } from "./language.ts";
import { passagesOf } from "./passages.ts";
import type { RetrievalQuery } from "./port.ts";
import { type IndexedPassage, TermIndex } from "./term-index.ts";

/** Where a document's text is in the index. A deleted document keeps its entry: its revision refuses older changes. */
interface Entry {
  readonly revision: number;
  readonly deleted: boolean;
  readonly languages: readonly string[];
  readonly passages: readonly IndexedPassage[];
  readonly document: Omit<Passage, "text" | "score">;
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
  readonly #passages = new Map<string, { entry: Entry; passage: IndexedPassage }>();
  /** Of each tenant, an index a language. */
  readonly #tenants = new Map<string, Map<string, TermIndex>>();

  /** Takes a change in. False when it was known already or a newer one is. */
  apply(event: KnowledgeEvent, revision: number): boolean {
    const key = keyOf(event.tenant, event.collection, event.document);
    const known = this.#documents.get(key);
    if (known && known.revision >= revision) return false;
    if (known) this.#unindex(event.tenant, known);
    const entry = entryOf(event, revision, key);
    this.#documents.set(key, entry);
    for (const passage of entry.passages) {
      this.#passages.set(passage.id, { entry, passage });
      for (const language of entry.languages) this.#indexOf(event.tenant, language).add(passage);
    }
    return true;
  }

  /** The revision of a document that exists. */
  revisionOf(tenant: string, collection: string, document: string): number | undefined {
    const entry = this.#documents.get(keyOf(tenant, collection, document));
    return entry && !entry.deleted ? entry.revision : undefined;
  }

  /** How many documents of a collection are searchable. */
  count(tenant: string, collection: string): number {
    const prefix = `${keyOf(tenant, collection)}\n`;
    let count = 0;
    for (const [key, { deleted }] of this.#documents) if (!deleted && key.startsWith(prefix)) count++;
    return count;
  }

  /**
   * The passages that answer, best first. Languages are tried in the order of the asker's locale, the language of the
   * question, all others; the next is looked at only when the one before it has nothing.
   */
  retrieve(query: RetrievalQuery): Passage[] {
    const indexes = this.#tenants.get(query.tenant);
    if (!indexes || query.limit <= 0) return [];
    const collections = new Set(query.collections);
    for (const languages of preference(query, [...indexes.keys()])) {
      const hits = languages
        .flatMap((language) => indexes.get(language)?.search(query.question, collections) ?? [])
        .filter(({ coverage }) => coverage > COVERAGE)
        .sort((a, b) => b.score - a.score);
      const best = hits[0]?.score ?? 0;
      // A document of unknown language is in several indexes.
      const unique = new Map(
        hits.filter(({ score }) => score >= SCORE_OF_BEST * best).map((hit) => [hit.id, hit.score]),
      );
      if (unique.size > 0)
        return [...unique].slice(0, query.limit).flatMap(([id, score]) => this.#passage(id, score));
    }
    return [];
  }

  #passage(id: string, score: number): Passage[] {
    const found = this.#passages.get(id);
    if (!found) return [];
    const { heading, body } = found.passage;
    return [{ ...found.entry.document, text: heading === "" ? body : `## ${heading}\n\n${body}`, score }];
  }

  #indexOf(tenant: string, language: string): TermIndex {
    const indexes = this.#tenants.get(tenant) ?? new Map<string, TermIndex>();
    this.#tenants.set(tenant, indexes);
    const index = indexes.get(language) ?? new TermIndex(language);
    indexes.set(language, index);
    return index;
  }

  #unindex(tenant: string, entry: Entry): void {
    for (const passage of entry.passages) {
      this.#passages.delete(passage.id);
      for (const language of entry.languages) this.#indexOf(tenant, language).remove(passage);
    }
  }
}

function entryOf(event: KnowledgeEvent, revision: number, key: string): Entry {
  const { collection, document, title, url, locale, deleted } = event;
  const language = locale ? baseLanguage(locale) : languageOf(`${title}\n${event.text}`);
  const tags = (event.tags ?? []).join(" ");
  return {
    revision,
    deleted,
    languages: language === undefined ? UNKNOWN_LANGUAGE : [language],
    passages: deleted
      ? []
      : passagesOf(title, event.text).map(({ heading, body }, n) => ({
          id: `${key}\n${n}`,
          collection,
          title,
          tags,
          heading,
          body,
        })),
    document: {
      collection,
      document,
      revision,
      title,
      ...(url ? { url } : {}),
      ...(locale ? { locale } : {}),
    },
  };
}

function preference(query: RetrievalQuery, languages: readonly string[]): string[][] {
  const asked = query.locale ? baseLanguage(query.locale) : undefined;
  const first = [...new Set([asked, languageOf(query.question)])].filter(
    (language) => language !== undefined,
  );
  return [...first.map((language) => [language]), languages.filter((language) => !first.includes(language))];
}
