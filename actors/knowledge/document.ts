/** What an event of KNOWLEDGE says about its document. */
import type { DocumentInput, KnowledgeDocument, KnowledgeEvent } from "#contracts/knowledge.ts";

export function documentOf(event: KnowledgeEvent, revision: number): KnowledgeDocument {
  const { collection, document, title, text, url, locale, tags, at } = event;
  return {
    collection,
    document,
    revision,
    title,
    text,
    at,
    ...(url ? { url } : {}),
    ...(locale ? { locale } : {}),
    ...(tags ? { tags: [...tags] } : {}),
  };
}

/** True when storing the input would change nothing. */
export function sameContent(event: KnowledgeEvent, input: DocumentInput): boolean {
  return (
    !event.deleted &&
    event.title === input.title &&
    event.text === input.text &&
    (event.url ?? "") === (input.url ?? "") &&
    (event.locale ?? "") === (input.locale ?? "") &&
    (event.tags ?? []).join("\n") === (input.tags ?? []).join("\n")
  );
}
