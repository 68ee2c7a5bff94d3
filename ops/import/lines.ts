/** JSON lines: a document or a CloudEvent each. Read as a stream, so that a file may hold any number of them. */
import { createReadStream } from "node:fs";
import { TextDecoder } from "node:util";
import { z } from "zod";
import { changeOf, cloudEventSchema, documentId } from "#contracts/cloudevent.ts";
import { isId } from "#contracts/ids.ts";
import { documentInputSchema, nameSchema, withoutNulls } from "#contracts/knowledge.ts";
import { LIMITS } from "#contracts/limits.ts";
import type { Item, SourceFile } from "./format.ts";

const lineSchema = z.preprocess(
  withoutNulls,
  documentInputSchema.extend({
    title: documentInputSchema.shape.title.optional(),
    id: nameSchema.optional(),
    document: nameSchema.optional(),
  }),
);

/** Lines that are nothing we know are items of their own, with their number. */
export async function* readLines({ path, name }: SourceFile): AsyncGenerator<Item> {
  let number = 0;
  for await (const { line, bytes } of linesOf(path)) {
    number++;
    if (line?.trim() !== "") yield itemOf(line, `${name}:${number}`, bytes);
  }
}

/** Undefined for a line that is longer than a document can be, or no UTF-8. */
async function* linesOf(path: string): AsyncGenerator<{ line: string | undefined; bytes: number }> {
  const most = 2 * LIMITS.bodyBytes;
  let held: Buffer[] = [];
  let length = 0;
  const take = (end: Buffer): { line: string | undefined; bytes: number } => {
    const bytes = length + end.length + 1;
    const line = bytes > most ? undefined : utf8Of(Buffer.concat([...held, end]));
    held = [];
    length = 0;
    return { line, bytes };
  };
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    let from = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      yield take(chunk.subarray(from, end));
      from = end + 1;
    }
    const rest = chunk.subarray(from);
    length += rest.length;
    if (length <= most) held.push(rest);
  }
  if (length > 0) yield take(Buffer.alloc(0));
}

const decoder = new TextDecoder("utf-8", { fatal: true });

function utf8Of(bytes: Buffer): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

function itemOf(line: string | undefined, where: string, bytes: number): Item {
  const broken = (reason: string): Item => ({ kind: "broken", where, reason, bytes });
  if (line === undefined) return broken("is longer than a document can be, or not UTF-8");
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return broken("is not JSON");
  }
  if (value instanceof Object && "specversion" in value) {
    const event = cloudEventSchema.safeParse(value);
    if (!event.success) return broken(`is no CloudEvent: ${said(event.error)}`);
    try {
      const { document } = changeOf(event.data);
      return { kind: "event", event: event.data, document, where, bytes };
    } catch (error) {
      // Sent with others, it would take them along: a batch is refused whole.
      return broken(error instanceof Error ? error.message : String(error));
    }
  }
  const parsed = lineSchema.safeParse(value);
  if (!parsed.success) return broken(said(parsed.error));
  const { id, document: named, title, ...content } = parsed.data;
  const name = named ?? id;
  if (name === undefined) return broken("has no id");
  const document = documentId(name);
  if (!isId(document)) return broken("id: 1 to 256 characters");
  return { kind: "document", document, where, input: { ...content, title: title ?? document }, bytes };
}

function said(error: z.ZodError): string {
  const [issue] = error.issues;
  return `${issue?.path.join(".") || "line"}: ${issue?.message ?? "is not valid"}`;
}
