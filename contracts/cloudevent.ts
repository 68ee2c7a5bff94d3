/**
 * CloudEvents 1.0 from other systems, and the change of a document that one means. Source: CloudEvents 1.0.2, its JSON
 * format and its HTTP binding.
 */
import { z } from "zod";
import { JetclawError } from "./errors.ts";
import { headingOf } from "./heading.ts";
import { isId } from "./ids.ts";
import { type DocumentInput, documentInputSchema, nameSchema, withoutNulls } from "./knowledge.ts";

const text = z.string().min(1).max(1_024);

/** Attributes that we read; extensions of a producer pass and are ignored. */
export const cloudEventSchema = z.looseObject({
  specversion: z.literal("1.0"),
  id: text,
  source: text,
  type: text,
  subject: text.nullish(),
  /** RFC 3339, which allows small letters. */
  time: z
    .string()
    .transform((time) => time.toUpperCase())
    .pipe(z.iso.datetime({ offset: true }))
    .nullish(),
  datacontenttype: text.nullish(),
  dataschema: text.nullish(),
  data: z.unknown().optional(),
  data_base64: z.string().nullish(),
});
export type CloudEvent = z.infer<typeof cloudEventSchema>;

/** What an event asks of a collection. */
export interface DocumentChange {
  readonly document: string;
  /** Undefined: the document is to be deleted. */
  readonly input: DocumentInput | undefined;
  /** Names the event: source and id, as CloudEvents demands them to be unique together. */
  readonly event: string;
  /** When it happened, ms since the epoch; undefined where the event does not say. */
  readonly at: number | undefined;
}

/** The last word of a type, a version behind it left out: `com.example.article.published.v2` -> `published`. */
const PUTS: ReadonlySet<string> = new Set(
  "created updated changed published put upserted saved added modified restored".split(" "),
);
const DELETES: ReadonlySet<string> = new Set(
  "deleted removed unpublished archived destroyed trashed".split(" "),
);
const LISTED = `a type ends in ${[...PUTS].join(", ")} (stored) or ${[...DELETES].join(", ")} (deleted)`;

const dataSchema = z.preprocess(
  withoutNulls,
  documentInputSchema.omit({ title: true, text: true }).extend({
    id: nameSchema.optional(),
    title: documentInputSchema.shape.title.optional(),
    text: documentInputSchema.shape.text.optional(),
    markdown: documentInputSchema.shape.text.optional(),
    body: documentInputSchema.shape.text.optional(),
  }),
);
/** Of data of a deletion its name is read alone, and only where the event has none. */
const namedSchema = z.object({ id: nameSchema });

/** @throws JetclawError `request.invalid`, `request.id` naming what the event lacks */
export function changeOf(event: CloudEvent): DocumentChange {
  const named = {
    event: `${event.source} ${event.id}`,
    at: event.time ? Date.parse(event.time) : undefined,
  };
  if (isDeletion(event.type))
    return { ...named, document: documentOf(event, deletedIdOf(event)), input: undefined };
  const data = dataOf(event);
  const document = documentOf(event, data.id);
  const { text = data.markdown ?? data.body, title, url, locale, tags } = data;
  if (text === undefined) throw invalid(event, "data has no text (or markdown, or body)");
  return {
    ...named,
    document,
    input: {
      title: title ?? headingOf(text) ?? document.slice(0, 512),
      text,
      ...(url ? { url } : {}),
      ...(locale ? { locale } : {}),
      ...(tags ? { tags } : {}),
    },
  };
}

function deletedIdOf(event: CloudEvent): string | undefined {
  if (event.subject) return undefined;
  const given = givenOf(event);
  const data = namedSchema.safeParse(typeof given === "string" ? jsonOf(event, given) : given);
  return data.data?.id;
}

function isDeletion(type: string): boolean {
  const words = type.toLowerCase().split(/[.:/_-]/);
  const word = words.findLast((each) => !/^v?\d+$/.test(each)) ?? "";
  if (DELETES.has(word)) return true;
  if (PUTS.has(word)) return false;
  throw new JetclawError("request.invalid", `type "${type.slice(0, 80)}" says neither: ${LISTED}`);
}

function dataOf(event: CloudEvent): z.infer<typeof dataSchema> {
  const type = (event.datacontenttype ?? "application/json").split(";", 1)[0]?.trim().toLowerCase() ?? "";
  const given = givenOf(event);
  if (typeof given === "string" && ["text/plain", "text/markdown"].includes(type))
    return textOf(event, given);
  if (!/[/+]json$/.test(type))
    throw invalid(event, `datacontenttype "${type}" is none of application/json, text/plain, text/markdown`);
  const parsed = dataSchema.safeParse(typeof given === "string" ? jsonOf(event, given) : given);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw invalid(
    event,
    `data${issue?.path.map((key) => `.${String(key)}`).join("") ?? ""}: ${issue?.message}`,
  );
}

const givenOf = (event: CloudEvent): unknown =>
  event.data_base64 ? utf8Of(event, event.data_base64) : event.data;

function textOf(event: CloudEvent, given: string): { text: string } {
  const text = documentInputSchema.shape.text.safeParse(given);
  if (!text.success) throw invalid(event, `data: ${text.error.issues[0]?.message}`);
  return { text: given };
}

function jsonOf(event: CloudEvent, given: string): unknown {
  try {
    return JSON.parse(given);
  } catch {
    throw invalid(event, "data is a string that is not JSON; say so in datacontenttype, such as text/plain");
  }
}

function utf8Of(event: CloudEvent, base64: string): string {
  try {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw invalid(event, "data_base64 is not base64 of UTF-8 text");
  }
}

function documentOf(event: CloudEvent, own: string | undefined): string {
  const name = event.subject ?? own;
  if (!name) throw invalid(event, "subject, or id in data, names the document, and both are missing");
  const document = documentId(name);
  if (!isId(document)) throw new JetclawError("request.id", `event ${event.id.slice(0, 80)}: subject`);
  return document;
}

/** Any name as an id: white space, control characters and % are percent-encoded, so that two names stay two. */
export function documentId(name: string): string {
  return name.normalize("NFC").replace(/[%\s\p{Cc}]/gu, (character) => encodeURIComponent(character));
}

const invalid = (event: CloudEvent, what: string): JetclawError =>
  new JetclawError("request.invalid", `event ${event.id.slice(0, 80)}: ${what}`);
