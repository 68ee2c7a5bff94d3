/** What `bench cache` plays: labelled questions, the documents that answer them, and recorded vectors. Labels only score. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { z } from "zod";
import { JetclawError } from "#contracts/errors.ts";

const requestSchema = z.object({
  text: z.string(),
  /** The intent, which is the id of the one document that answers it; null for noise. */
  group: z.string().nullable(),
  /** The value that the question names: an answer for another value is wrong. */
  entity: z
    .union([z.string(), z.number()])
    .nullish()
    .transform((value) => (value === undefined || value === null ? null : String(value))),
  /** Must not be answered from a cache. */
  noise: z.boolean(),
});
export type LabelledRequest = z.infer<typeof requestSchema>;

const articleSchema = z.object({ id: z.string(), title: z.string().optional(), text: z.string() });
export interface Article {
  readonly id: string;
  readonly title: string;
  readonly text: string;
}

/** @throws JetclawError `config.invalid` naming the line */
export async function readTraffic(path: string): Promise<LabelledRequest[]> {
  const requests = await readLines(path, requestSchema);
  if (requests.length === 0) throw new JetclawError("config.invalid", `${path} holds no request`);
  return requests;
}

/** The articles of the file and, for each group that has none, one with the group's name as text. */
export async function readArticles(
  path: string | undefined,
  traffic: readonly LabelledRequest[],
): Promise<Article[]> {
  const given = path === undefined ? [] : await readLines(path, articleSchema);
  const articles = new Map(given.map(({ id, title, text }) => [id, { id, title: title ?? id, text }]));
  for (const { group } of traffic)
    if (group !== null && !articles.has(group)) {
      const name = group.replaceAll("_", " ");
      articles.set(group, { id: group, title: name, text: name });
    }
  return [...articles.values()];
}

async function readLines<T>(path: string, schema: z.ZodType<T>): Promise<T[]> {
  const text = await readFile(path, "utf8").catch((cause: unknown) => {
    throw new JetclawError("config.invalid", `${path} cannot be read`, { cause });
  });
  // A byte order mark is white space to nobody but `trim`.
  return text
    .replace(/^\uFEFF/, "")
    .split("\n")
    .flatMap((line, at) => (line.trim() === "" ? [] : [lineOf(line, `${path}, line ${at + 1}`, schema)]));
}

function lineOf<T>(line: string, where: string, schema: z.ZodType<T>): T {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new JetclawError("config.invalid", `${where} is not JSON`, { cause });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new JetclawError("config.invalid", `${where}: ${issue?.path.join(".") || "line"}: ${issue?.message}`);
}

/** Traffic as the generator beside the evaluation data makes it. @throws JetclawError `config.invalid` */
export async function generateTraffic(
  generator: string,
  { kind, mode, seed }: { readonly kind: string; readonly mode: string; readonly seed: number },
): Promise<LabelledRequest[]> {
  const run = promisify(execFile);
  const { stdout } = await run(
    process.execPath,
    [generator, "--kind", kind, "--mode", mode, "--seed", String(seed)],
    { maxBuffer: 64 * 1024 * 1024 },
  ).catch((cause: unknown) => {
    throw new JetclawError("config.invalid", `${generator} cannot be run`, { cause });
  });
  return stdout
    .split("\n")
    .filter(Boolean)
    .map((line) => requestSchema.parse(JSON.parse(line)));
}
