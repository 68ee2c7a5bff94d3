/** Questions whose right document is known, with the documents they are asked of: what `bench retrieval` measures on. */
import { readFile } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { JetclawError } from "#contracts/errors.ts";
import type { DocumentInput } from "#contracts/knowledge.ts";
import { readDemoDocuments } from "../demo/load.ts";
import { ANSWERABLE, OUT_OF_SCOPE } from "../demo/questions.ts";

export interface SetDocument {
  readonly document: string;
  readonly input: DocumentInput;
}

export interface SetQuestion {
  readonly text: string;
  readonly locale: string;
  /** Documents of which one is right; none: nothing should be found. */
  readonly documents: readonly string[];
}

export interface RetrievalSet {
  /** Begins the names of its figures. */
  readonly name: string;
  readonly documents: readonly SetDocument[];
  readonly questions: readonly SetQuestion[];
}

export interface SetFiles {
  readonly data: string;
  /** Lines of { id, title, text }. */
  readonly knowledge: string;
  /** Lines of { text, group }: `group` is the id of the right document, null or another where there is none. */
  readonly questions: string;
}

/** The demo shop in both languages, and what is found in `data`; undefined without the data. */
export async function retrievalSets(files: SetFiles): Promise<RetrievalSet[] | undefined> {
  const [knowledge, questions, foreign] = await Promise.all([
    linesOf(files.data, files.knowledge),
    linesOf(files.data, files.questions),
    linesOf(files.data, "cache/xsid-nl-en.jsonl"),
  ]);
  if (!knowledge || !questions) return undefined;
  const documents = knowledge.map((line) => {
    const document = String(line.id ?? line.document);
    const text = String(line.text);
    return { document, input: { title: String(line.title ?? document), text, locale: "en" } };
  });
  const ids = new Set(documents.map(({ document }) => document));
  const shop: RetrievalSet = {
    name: "shop",
    documents,
    questions: questions.map(({ text, group }) => ({
      text: String(text),
      locale: "en",
      documents: ids.has(String(group)) ? [String(group)] : [],
    })),
  };
  return [shop, ...(await demoSets(foreign ?? []))];
}

async function demoSets(foreign: readonly Record<string, unknown>[]): Promise<RetrievalSet[]> {
  const all = await readDemoDocuments();
  return ["en", "nl"].map((locale) => ({
    name: locale === "en" ? "demoEnglish" : "demoDutch",
    // Both languages are there, as they are when somebody asks.
    documents: all,
    questions: [
      ...ANSWERABLE.filter((question) => question.locale === locale),
      ...OUT_OF_SCOPE.filter((question) => question.locale === locale).map((question) => ({
        ...question,
        documents: [],
      })),
      ...foreign.map((line) => ({ text: String(line[locale]), locale, documents: [] })),
    ],
  }));
}

/** Undefined where there is no such file. @throws JetclawError `request.invalid` for a line that is no JSON */
async function linesOf(data: string, file: string): Promise<Record<string, unknown>[] | undefined> {
  const path = isAbsolute(file) ? file : join(data, file);
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
  try {
    return text
      ?.split("\n")
      .filter((line) => line.trim() !== "")
      .map((line) => JSON.parse(line));
  } catch (cause) {
    throw new JetclawError("request.invalid", `${path} holds a line that is no JSON`, { cause });
  }
}
