/**
 * Loads the demo shop's documents into tenant `demo`, collection `shop`. A marker in KV `config` remembers the hash of
 * each file that was loaded: a start writes only what is new or changed in the files since, so that a document which
 * a user has changed or deleted stays as the user wants it.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { KnowledgeStore } from "#actors/knowledge/port.ts";
import { decode, encode } from "#contracts/codec.ts";
import { JetclawError } from "#contracts/errors.ts";
import { type DocumentInput, documentInputSchema } from "#contracts/knowledge.ts";
import { BUCKETS } from "#contracts/subjects.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { Kv } from "#runtime/nats/kv.ts";
import type { Log } from "#runtime/observe/log.ts";
import { parseMarkdown } from "../import/markdown.ts";

export const DEMO_TENANT = "demo";
export const DEMO_COLLECTION = "shop";
const MARKER = "demo-loaded";

interface Marker {
  readonly v: 1;
  /** SHA-256 of the file that was loaded for each document. */
  readonly files: Readonly<Record<string, string>>;
}

export interface DemoDocument {
  readonly document: string;
  readonly input: DocumentInput;
  readonly hash: string;
}

/** @returns how many were written, and the highest revision among them: 0 when none was. @throws JetclawError `nats.unavailable` */
export async function loadDemoKnowledge(
  store: KnowledgeStore,
  options: { readonly bus: Bus; readonly log: Log },
): Promise<{ loaded: number; total: number; revision: number }> {
  const config = new Kv(options.bus, BUCKETS.config);
  const { value } = await config.getFromLeader(MARKER);
  const known = value ? decode<Marker>(value).files : {};
  const documents = await readDemoDocuments();
  const changed = documents.filter(({ document, hash }) => known[document] !== hash);
  const revisions = await Promise.all(
    changed.map(
      async ({ document, input }) =>
        (await store.put(DEMO_TENANT, DEMO_COLLECTION, document, input)).revision,
    ),
  );
  if (changed.length > 0) {
    const marker: Marker = {
      v: 1,
      files: Object.fromEntries(documents.map(({ document, hash }) => [document, hash])),
    };
    await config.put(MARKER, encode(marker));
    options.log.info({ documents: changed.length }, "demo knowledge loaded");
  }
  return { loaded: changed.length, total: documents.length, revision: Math.max(0, ...revisions) };
}

/** Every document of the folder; its id is the file's name. */
export async function readDemoDocuments(): Promise<DemoDocument[]> {
  const folder = knowledgeFolder();
  const files = (await readdir(folder)).filter((file) => file.endsWith(".md")).sort();
  return await Promise.all(
    files.map(async (file) => {
      const source = await readFile(new URL(file, folder), "utf8");
      const hash = createHash("sha256").update(source).digest("hex");
      return { document: file.slice(0, -".md".length), input: parseDocument(source, file), hash };
    }),
  );
}

/** The clone and the published package keep the folder at the same place; this file runs beside it or from dist/. */
function knowledgeFolder(): URL {
  const places = ["./knowledge/", "../../../ops/demo/knowledge/"].map(
    (path) => new URL(path, import.meta.url),
  );
  const found = places.find((place) => existsSync(fileURLToPath(place)));
  if (!found) throw new JetclawError("start.refused", "the demo documents (ops/demo/knowledge) are missing");
  return found;
}

function parseDocument(source: string, file: string): DocumentInput {
  const parsed = documentInputSchema.safeParse(parseMarkdown(source));
  if (!parsed.success)
    throw new JetclawError(
      "start.refused",
      `ops/demo/knowledge/${file}: ${parsed.error.issues[0]?.message ?? "not valid"}`,
    );
  return parsed.data;
}
