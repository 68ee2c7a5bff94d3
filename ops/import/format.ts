/** Which file holds what: each format is read by one file, loaded when the first such file comes. */
import { extname } from "node:path";
import type { CloudEvent } from "#contracts/cloudevent.ts";
import type { DocumentInput } from "#contracts/knowledge.ts";

export interface SourceFile {
  /** Where it is on this machine. */
  readonly path: string;
  /** Path below the folder that was named, with `/`, the same on every machine. */
  readonly name: string;
  readonly bytes: number;
  /** Why it cannot be read, where that is known before. */
  readonly broken?: string;
}

/** One thing that a file holds. `bytes` of it have been read, for the progress. */
export type Item =
  | {
      readonly kind: "document";
      readonly document: string;
      /** The file, or the file and the line. */
      readonly where: string;
      readonly input: DocumentInput;
      readonly bytes: number;
    }
  | {
      readonly kind: "event";
      readonly event: CloudEvent;
      /** The one that it speaks of. */
      readonly document: string;
      readonly where: string;
      readonly bytes: number;
    }
  | { readonly kind: "broken"; readonly where: string; readonly reason: string; readonly bytes: number };

/** The store does not take this document; others may be taken. */
export class Refused extends Error {}

/** What a format finds in a file that is one document; the title falls back to the file's name. */
export interface Read {
  readonly title?: string | undefined;
  readonly text: string;
  readonly locale?: string | undefined;
  readonly url?: string | undefined;
  readonly tags?: readonly string[] | undefined;
}

type Reader = (bytes: Uint8Array) => Read | Promise<Read>;

const READERS: Readonly<Record<string, () => Promise<Reader>>> = {
  ".md": async () => (await import("./markdown.ts")).readMarkdown,
  ".markdown": async () => (await import("./markdown.ts")).readMarkdown,
  ".txt": async () => (await import("./text.ts")).readPlainText,
  ".html": async () => (await import("./html.ts")).readHtml,
  ".htm": async () => (await import("./html.ts")).readHtml,
  ".pdf": async () => (await import("./pdf.ts")).readPdf,
};
const LINES: readonly string[] = [".jsonl", ".ndjson"];

export const IMPORTED: readonly string[] = [...Object.keys(READERS), ...LINES];

const endingOf = (name: string): string => extname(name).toLowerCase();
export const isImported = (name: string): boolean => IMPORTED.includes(endingOf(name));
export const holdsLines = (name: string): boolean => LINES.includes(endingOf(name));

/** @throws Error that says what is wrong with the file */
export async function readerOf(name: string): Promise<Reader> {
  const load = READERS[endingOf(name)];
  if (!load) throw new Error(`no format; imported are ${IMPORTED.join(", ")}`);
  return load();
}
