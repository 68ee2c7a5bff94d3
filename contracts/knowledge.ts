/** A document of a knowledge base and the event of its change. The revision is its sequence in KNOWLEDGE. */
import { sha256 } from "@noble/hashes/sha2.js";
import { z } from "zod";
import { decode, encode } from "./codec.ts";
import { isId } from "./ids.ts";
import { LIMITS } from "./limits.ts";

export const documentInputSchema = z.object({
  title: z.string().min(1).max(512),
  /** White space alone would be found, cited and answered from. */
  text: z.string().max(LIMITS.documentTextChars).regex(/\S/, "holds no text"),
  url: z.url().max(2_048).optional(),
  /** BCP 47, `en` or `nl-BE`; undefined: recognised from the text. */
  locale: z.string().max(35).optional(),
  tags: z.array(z.string().max(64)).max(32).optional(),
});
export type DocumentInput = z.infer<typeof documentInputSchema>;

/** As other systems name their documents, many of them by numbers. */
export const nameSchema = z.union([z.string(), z.number()]).transform(String);

/** What other systems write where they have nothing: null is a field that is not there. */
export function withoutNulls(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== null));
}

/** What KNOWLEDGE holds, last a subject: a document, or its deletion. */
export interface KnowledgeEvent {
  readonly v: 1;
  readonly tenant: string;
  readonly collection: string;
  readonly document: string;
  readonly deleted: boolean;
  readonly title: string;
  readonly text: string;
  readonly url?: string | undefined;
  readonly locale?: string | undefined;
  readonly tags?: readonly string[] | undefined;
  /** When it changed, ms since the epoch. */
  readonly at: number;
  /** Marks of the latest events from other systems that changed it, newest last; see `eventMark`. */
  readonly events?: readonly string[] | undefined;
}

/** A document as listings name it: all but its text, of which there is a hash. */
export interface ListedDocument extends Omit<KnowledgeDocument, "text"> {
  readonly hash: string;
}

export interface KnowledgeDocument extends DocumentInput {
  readonly collection: string;
  readonly document: string;
  readonly revision: number;
  readonly at: number;
}

export function encodeKnowledgeEvent(event: KnowledgeEvent): Uint8Array {
  return encode(event);
}

/** Undefined for bytes that are not an event of a version we know: one such must not stop a reader of all. */
export function decodeKnowledgeEvent(data: Uint8Array): KnowledgeEvent | undefined {
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
    ...(event.events ? { events: [...event.events] } : {}),
  };
}

const utf8 = new TextEncoder();
const HASH_BYTES = 16;

const hashOf = (text: string): string =>
  Array.from(sha256(utf8.encode(text)).subarray(0, HASH_BYTES), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");

/**
 * Hex hash of what a document says: whoever has a document knows by it whether the store has the same. The locale is
 * left out, since the store recognises one where none is given.
 */
export function contentHash({ title, text, url, tags }: Omit<DocumentInput, "locale">): string {
  const said = wellFormed({ title, text, tags });
  return hashOf(JSON.stringify([said.title, said.text, url ?? "", said.tags ?? []]));
}

/** Half a character, where a text was cut off inside of one, can be written nowhere: it is the mark of what cannot be read. */
export function wellFormed<T extends Pick<DocumentInput, "title" | "text" | "tags">>(input: T): T {
  const { title, text, tags } = input;
  if (title.isWellFormed() && text.isWellFormed() && !tags?.some((tag) => !tag.isWellFormed())) return input;
  const whole = { title: title.toWellFormed(), text: text.toWellFormed() };
  return { ...input, ...whole, ...(tags ? { tags: tags.map((tag) => tag.toWellFormed()) } : {}) };
}

/** Stands for an event's source and id. */
export const eventMark = (event: string): string => hashOf(event).slice(0, 16);
