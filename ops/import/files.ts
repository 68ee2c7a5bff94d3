/** The files of an import, with names that are the same on every machine, and what each of them holds. */
import { readdir, readFile, realpath, stat } from "node:fs/promises";
import { basename, dirname, extname, join, relative, sep } from "node:path";
import { documentId } from "#contracts/cloudevent.ts";
import { headingOf } from "#contracts/heading.ts";
import { isId } from "#contracts/ids.ts";
import { type DocumentInput, documentInputSchema } from "#contracts/knowledge.ts";
import { LIMITS } from "#contracts/limits.ts";
import { holdsLines, type Item, isImported, type Read, readerOf, type SourceFile } from "./format.ts";
import { readLines } from "./lines.ts";

/** A larger file that is one document could not be one: a PDF of that size holds pictures. */
const MOST_BYTES = 64 * 1_048_576;
/** A document has no more. */
const MOST_TAGS = 32;

/** In a folder these belong to tools: the pages of a dependency are none of the shop's. */
const isOfTools = (name: string): boolean => name.startsWith(".") || name === "node_modules";

/**
 * Every file of the folders and the files named, in the order of their names. Links in folders are followed.
 * @param onPassedOver hears what is left out: a file by its ending, what belongs to tools by its name
 * @throws Error for a path that is not there
 */
export async function filesOf(
  paths: readonly string[],
  onPassedOver: (kind: string) => void = () => {},
): Promise<SourceFile[]> {
  const files = new Map<string, SourceFile>();
  for (const path of paths) {
    const found = await stat(path);
    const root = found.isDirectory() ? path : dirname(path);
    const { inside, nowhere } = found.isDirectory()
      ? await filesBelow(path, onPassedOver)
      : { inside: [path], nowhere: [] };
    // macOS takes accents apart in names; the same folder must give the same ids everywhere.
    const nameOf = (file: string): string => relative(root, file).split(sep).join("/").normalize("NFC");
    for (const file of inside)
      files.set(file, { path: file, name: nameOf(file), bytes: (await stat(file)).size });
    for (const link of nowhere)
      files.set(link, { path: link, name: nameOf(link), bytes: 0, broken: "is a link that leads nowhere" });
  }
  return [...files.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/**
 * What is below a folder, links followed. What is there by its own name comes by that alone, and what several links lead
 * to comes by the first of them: so nothing is there twice, and a circle of links ends.
 */
async function filesBelow(
  folder: string,
  onPassedOver: (kind: string) => void,
): Promise<{ inside: string[]; nowhere: string[] }> {
  const inside: string[] = [];
  const links: string[] = [];
  const nowhere: string[] = [];
  const seen = new Set<string>();
  const take = (path: string, real: string): void => {
    // What is not imported by this name may be by another one.
    if (!isImported(path)) return onPassedOver(extname(path).toLowerCase() || basename(path));
    if (seen.has(real)) return;
    seen.add(real);
    inside.push(path);
  };
  const walk = async (path: string, real: string): Promise<void> => {
    if (seen.has(real)) return;
    seen.add(real);
    const entries = await readdir(path, { withFileTypes: true });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const below = join(path, entry.name);
      if (isOfTools(entry.name)) onPassedOver(entry.name);
      else if (entry.isSymbolicLink()) links.push(below);
      else if (entry.isDirectory()) await walk(below, join(real, entry.name));
      else if (entry.isFile()) take(below, join(real, entry.name));
    }
  };
  await walk(folder, await realpath(folder));
  // Walking adds to them.
  for (const link of links) {
    const real = await realpath(link).catch(() => undefined);
    const found = real === undefined ? undefined : await stat(real);
    if (real === undefined) {
      // Without an ending it may have led to a folder.
      if (isImported(link) || extname(link) === "") nowhere.push(link);
    } else if (found?.isDirectory()) await walk(link, real);
    else if (found?.isFile()) take(link, real);
  }
  return { inside, nowhere };
}

/** The document that a file is: its name without the ending. */
export function documentOf(name: string): string {
  return documentId(name.slice(0, name.length - extname(name).length).replace(/\s+/g, "-"));
}

/** Never throws: what is wrong with a file is an item. */
export async function* itemsOf(file: SourceFile, locale?: string): AsyncGenerator<Item> {
  try {
    if (file.broken !== undefined) throw new Error(file.broken);
    if (holdsLines(file.name)) yield* readLines(file);
    else yield await readDocument(file, locale);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    yield { kind: "broken", where: file.name, reason, bytes: file.bytes };
  }
}

async function readDocument({ path, name, bytes }: SourceFile, locale: string | undefined): Promise<Item> {
  if (bytes > MOST_BYTES) throw new Error(`is larger than ${MOST_BYTES / 1_048_576} MB`);
  const document = documentOf(name);
  if (!isId(document)) throw new Error("its path is too long for an id (256 characters)");
  const read = await (await readerOf(name))(await readFile(path));
  const title = (read.title ?? headingOf(read.text) ?? basename(name, extname(name))).slice(0, 512);
  const parsed = documentInputSchema.safeParse({ ...(locale ? { locale } : {}), ...fieldsOf(read), title });
  if (read.text.length > LIMITS.documentTextChars)
    throw new Error(
      `has ${read.text.length} characters, a document at most ${LIMITS.documentTextChars}: split it, such as by chapters`,
    );
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new Error(
      read.text.trim() === ""
        ? "holds no text"
        : `${issue?.path.join(".")}: ${issue?.message ?? "is not valid"}`,
    );
  }
  return { kind: "document", document, where: name, input: parsed.data, bytes };
}

/** A language by its code, also as BCP 47 writes it. */
export const isLanguage = (text: string): boolean =>
  /^[a-z]{2,3}(?:[-_][a-z\d]+)*$/i.test(text) && documentInputSchema.shape.locale.safeParse(text).success;

/** What a file says, as far as a document can have it: `permalink: /about/` is no address. */
export function fieldsOf({
  title,
  text,
  locale,
  url,
  tags = [],
}: Read): Pick<Read, "title"> & Omit<DocumentInput, "title"> {
  const { shape } = documentInputSchema;
  const fitting = tags.filter((tag) => shape.tags.safeParse([tag]).success).slice(0, MOST_TAGS);
  return {
    ...(title ? { title: title.slice(0, 512) } : {}),
    text,
    ...(locale && isLanguage(locale) ? { locale } : {}),
    ...(url && shape.url.safeParse(url).success ? { url } : {}),
    ...(fitting.length > 0 ? { tags: fitting } : {}),
  };
}
