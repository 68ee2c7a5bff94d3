/** What a document has to be embedded: the texts of its passages with their hashes, and what is known of them already. */
import type { KnowledgeEvent } from "#contracts/knowledge.ts";
import { textHash } from "../embeddings/text-hash.ts";
import { baseLanguage, languageOf } from "../language.ts";
import { type PassageText, passagesOf } from "../passages.ts";
import { assertDimension, UNKNOWN_LANGUAGE } from "./vector-index.ts";
import type { VectorRecord } from "./vector-record.ts";

/** A passage as a model reads it: what it is about, then what it says. */
export function embeddedText(title: string, { above, heading, body }: PassageText): string {
  return [title, ...above, heading, body].filter((part) => part !== "").join("\n\n");
}

/** The texts of a document's passages in their order; none of a deleted one. */
export function textsOf(event: KnowledgeEvent): string[] {
  if (event.deleted) return [];
  return passagesOf(event.title, event.text).map((passage) => embeddedText(event.title, passage));
}

/** ISO 639-1, or `UNKNOWN_LANGUAGE`. */
export function languageOfEvent({ locale, title, text }: KnowledgeEvent): string {
  return (locale ? baseLanguage(locale) : languageOf(`${title}\n${text}`)) ?? UNKNOWN_LANGUAGE;
}

/** Vectors of an earlier record by the hash of their text. */
export function knownVectors(record: VectorRecord | undefined): Map<string, Float32Array> {
  const known = new Map<string, Float32Array>();
  for (const [n, hash] of (record?.hashes ?? []).entries()) {
    const vector = record?.vectors[n];
    if (vector) known.set(hash, vector);
  }
  return known;
}

/**
 * The record of an event, with the vectors that `embed` gives for the texts nobody has embedded before; for all of them
 * where the earlier ones are of another length, which nobody could compare with the new ones.
 * @throws JetclawError `vectors.dimension` where they come in two lengths
 */
export async function recordOf(
  event: KnowledgeEvent,
  revision: number,
  earlier: VectorRecord | undefined,
  embed: (texts: readonly string[]) => Promise<Float32Array[]>,
): Promise<VectorRecord> {
  const texts = textsOf(event);
  const hashes = texts.map(textHash);
  const known = knownVectors(earlier);
  const missing = texts.filter((_, n) => !known.has(hashes[n] as string));
  const vectors = missing.length > 0 ? await embed(missing) : [];
  const [before] = earlier?.vectors ?? [];
  if (before && vectors[0] && vectors[0].length !== before.length)
    return recordOf(event, revision, undefined, embed);
  // The model may have become another one between two requests.
  for (const vector of vectors) assertDimension((vectors[0] as Float32Array).length, vector);
  for (const [n, text] of missing.entries()) known.set(textHash(text), vectors[n] as Float32Array);
  const { tenant, collection, document } = event;
  return {
    tenant,
    collection,
    document,
    revision,
    language: languageOfEvent(event),
    hashes,
    vectors: hashes.map((hash) => known.get(hash) as Float32Array),
  };
}
