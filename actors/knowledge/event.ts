/** The bytes of KNOWLEDGE and what they mean. msgpack writes absent fields as nil; here they are absent again. */
import { decode, encode } from "#contracts/codec.ts";
import { isId } from "#contracts/ids.ts";
import type { DocumentInput, KnowledgeDocument, KnowledgeEvent } from "#contracts/knowledge.ts";

export function encodeEvent(event: KnowledgeEvent): Uint8Array {
  return encode(event);
}

/** Undefined for bytes that are not an event of a version we know: one such must not stop a reader of all. */
export function decodeEvent(data: Uint8Array): KnowledgeEvent | undefined {
  let event: KnowledgeEvent | null;
  try {
    event = decode<KnowledgeEvent | null>(data);
  } catch {
    return undefined;
  }
  if (typeof event !== "object" || event === null || event.v !== 1) return undefined;
  if (![event.tenant, event.collection, event.document].every(isId)) return undefined;
  return {
    v: 1,
    tenant: event.tenant,
    collection: event.collection,
    document: event.document,
    deleted: event.deleted === true,
    title: String(event.title ?? ""),
    text: String(event.text ?? ""),
    at: Number(event.at ?? 0),
    ...(event.url ? { url: event.url } : {}),
    ...(event.locale ? { locale: event.locale } : {}),
    ...(event.tags ? { tags: [...event.tags] } : {}),
  };
}

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
