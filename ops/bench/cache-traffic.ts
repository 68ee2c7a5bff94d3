/** What `bench cache` plays: labelled questions, the documents that answer them, and recorded vectors. Labels only score. */
import { execFile } from "node:child_process";
import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { z } from "zod";
import { JetclawError } from "#contracts/errors.ts";
import { randomFrom } from "./shape.ts";

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

/** What the generator beside the evaluation data is asked for. */
export interface TrafficWanted {
  /** The folder of the evaluation data. */
  readonly data: string;
  readonly kind: "shop" | "banking";
  readonly mode: string;
  /** Of the kind, drawn by the seed: how often a question comes again depends on it. 0: all. */
  readonly intents: number;
  readonly seed: number;
}

/** Where the generator takes the questions of a kind from, beside noise. */
const QUESTIONS = { shop: "bitext.jsonl", banking: "banking77.jsonl" };

/** Traffic as the generator beside the evaluation data makes it. @throws JetclawError `config.invalid` */
export async function generateTraffic(generator: string, wanted: TrafficWanted): Promise<LabelledRequest[]> {
  const questions = join(wanted.data, "cache");
  if (wanted.intents === 0) return await runGenerator(generator, questions, wanted);
  const some = await mkdtemp(join(tmpdir(), "jetclaw-traffic-"));
  try {
    await copySome(questions, some, wanted);
    return await runGenerator(generator, some, wanted);
  } finally {
    await rm(some, { recursive: true, force: true });
  }
}

async function runGenerator(
  generator: string,
  questions: string,
  { kind, mode, seed }: TrafficWanted,
): Promise<LabelledRequest[]> {
  const run = promisify(execFile);
  const { stdout } = await run(
    process.execPath,
    [generator, "--data", questions, "--kind", kind, "--mode", mode, "--seed", String(seed)],
    { maxBuffer: 64 * 1024 * 1024 },
  ).catch((cause: unknown) => {
    throw new JetclawError("config.invalid", `${generator} cannot be run`, { cause });
  });
  return stdout
    .split("\n")
    .filter(Boolean)
    .map((line) => requestSchema.parse(JSON.parse(line)));
}

/** The questions with some of the kind's intents alone. */
async function copySome(from: string, to: string, { kind, intents, seed }: TrafficWanted): Promise<void> {
  for (const name of await readdir(from))
    if (name.endsWith(".jsonl") && name !== QUESTIONS[kind]) await copyFile(join(from, name), join(to, name));
  const lines = (await readFile(join(from, QUESTIONS[kind]), "utf8")).split("\n").filter(Boolean);
  const groupOf = (line: string): string => JSON.parse(line).group;
  const groups = [...new Set(lines.map(groupOf))].sort();
  if (intents > groups.length)
    throw new JetclawError("config.invalid", `${kind} has ${groups.length} intents, not ${intents}`);
  const random = randomFrom(seed);
  const drawn = groups
    .map((group) => ({ group, at: random() }))
    .sort((a, b) => a.at - b.at)
    .slice(0, intents);
  const kept = new Set(drawn.map(({ group }) => group));
  await writeFile(join(to, QUESTIONS[kind]), lines.filter((line) => kept.has(groupOf(line))).join("\n"));
}
