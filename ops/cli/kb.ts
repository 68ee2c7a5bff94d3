/** `jetclaw kb`: the documents that assistants answer from. */
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, extname, join, relative, sep } from "node:path";
import { Command, Option } from "commander";
import { CliFailure, usage } from "./failure.ts";
import { ask, type GatewayOptions, gatewayOf, reachesGateway } from "./gateway.ts";
import { note, print, printColumns, printJson, progressLine } from "./print.ts";

interface Common {
  readonly url?: string;
  readonly key?: string;
  readonly json?: boolean;
  readonly collection: string;
}
interface Listed {
  readonly document: string;
  readonly title: string;
  readonly revision: number;
  readonly locale?: string;
  readonly at: number;
}

const IMPORTED = [".md", ".markdown", ".txt"];
/** Documents under way at once. */
const PARALLEL = 8;

export function kbCommand(): Command {
  const kb = new Command("kb").description("documents: put, get, rm, ls, import").addHelpText(
    "after",
    `
Examples:
  jetclaw kb ls
  jetclaw kb put returns returns.md
  echo "We deliver in two days." | jetclaw kb put delivery - --title Delivery
  jetclaw kb import docs/ --collection shop
  jetclaw kb rm returns`,
  );
  kb.addCommand(putCommand())
    .addCommand(getCommand())
    .addCommand(removeCommand())
    .addCommand(listCommand())
    .addCommand(importCommand());
  return kb;
}

const common = (name: string, description: string): Command =>
  reachesGateway(new Command(name).description(description))
    .addOption(new Option("-c, --collection <name>", "collection").default("shop"))
    .option("--json", "print JSON");

function putCommand(): Command {
  return common("put", "store a document from a file, or from standard input with -")
    .argument("<document>", "its id")
    .argument("[file]", "Markdown or text; - or nothing reads standard input", "-")
    .option("--title <title>", "title; default: the first heading, else the id")
    .option("--locale <locale>", "language, such as en or nl; default: recognised from the text")
    .option("--link <url>", "where the document can be read")
    .option("--no-wait", "do not wait until it can be found")
    .addHelpText("after", "\nExample:\n  jetclaw kb put returns returns.md --locale en")
    .action(
      async (
        document: string,
        file: string,
        options: Common & { title?: string; locale?: string; link?: string; wait: boolean },
      ) => {
        const text = await readText(file);
        const answered = await put(
          gatewayOf(options),
          options.collection,
          document,
          {
            text,
            title: options.title ?? titleOf(text, document),
            ...(options.locale ? { locale: options.locale } : {}),
            ...(options.link ? { url: options.link } : {}),
          },
          options.wait,
        );
        if (options.json) return printJson(answered);
        const state = !options.wait
          ? ""
          : answered.indexed === false
            ? " It is stored, but not searchable yet."
            : " It can be found now.";
        print(`Stored ${options.collection}/${document}, revision ${answered.revision}.${state}`);
      },
    );
}

function getCommand(): Command {
  return common("get", "print a document")
    .argument("<document>", "its id")
    .addHelpText("after", "\nExample:\n  jetclaw kb get returns --json")
    .action(async (document: string, options: Common) => {
      const { body } = await ask(gatewayOf(options), pathOf(options.collection, document));
      if (options.json) return printJson(body);
      print((body as { text: string }).text);
    });
}

function removeCommand(): Command {
  return common("rm", "delete a document")
    .argument("<document>", "its id")
    .addHelpText("after", "\nExample:\n  jetclaw kb rm returns")
    .action(async (document: string, options: Common) => {
      const { body } = await ask(gatewayOf(options), `${pathOf(options.collection, document)}?wait=indexed`, {
        method: "DELETE",
      });
      if (options.json) return printJson(body);
      print(`Deleted ${options.collection}/${document}.`);
    });
}

function listCommand(): Command {
  return common("ls", "list a collection")
    .addHelpText("after", "\nExample:\n  jetclaw kb ls --collection shop")
    .action(async (options: Common) => {
      const { body } = await ask(
        gatewayOf(options),
        `/v1/knowledge/${encodeURIComponent(options.collection)}`,
      );
      if (options.json) return printJson(body);
      const documents = (body as { documents: Listed[] }).documents;
      if (documents.length === 0)
        return note(
          `The collection ${options.collection} is empty. Fill it: jetclaw kb import docs/ -c ${options.collection}`,
        );
      printColumns(
        ["DOCUMENT", "REVISION", "LOCALE", "CHANGED", "TITLE"],
        documents.map(({ document, revision, locale, at, title }) => [
          document,
          revision,
          locale,
          new Date(at).toISOString().slice(0, 16),
          title,
        ]),
      );
    });
}

function importCommand(): Command {
  return common("import", "store every .md and .txt file of a folder")
    .argument("<folder>", "folder, read with its subfolders")
    .option("--locale <locale>", "language of all of them; default: recognised from the text")
    .addHelpText("after", "\nExample:\n  jetclaw kb import docs/ --collection shop")
    .action(async (folder: string, options: Common & { locale?: string }) => {
      const files = await filesOf(folder);
      if (files.length === 0)
        throw new CliFailure(`${folder} holds no ${IMPORTED.join(", ")} file`, {
          next: "Name the folder with your documents.",
        });
      const revisions = await importAll(gatewayOf(options), folder, files, options);
      if (options.json) printJson({ collection: options.collection, documents: revisions });
    });
}

async function importAll(
  gateway: GatewayOptions,
  folder: string,
  files: readonly string[],
  { collection, locale }: { collection: string; locale?: string | undefined },
): Promise<{ document: string; revision: number }[]> {
  const progress = progressLine();
  const stored: { document: string; revision: number }[] = [];
  const queue = [...files];
  const work = async (): Promise<void> => {
    for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
      const text = await readFile(file, "utf8");
      const document = documentOf(folder, file);
      // Only the last one is waited for: readers pass revisions in order.
      const { revision } = await put(
        gateway,
        collection,
        document,
        { text, title: titleOf(text, document), ...(locale ? { locale } : {}) },
        queue.length === 0,
      );
      stored.push({ document, revision });
      progress.update(`${stored.length} of ${files.length} documents`);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  progress.end(`${stored.length} of ${files.length} documents stored in ${collection}.`);
  return stored.sort((a, b) => a.document.localeCompare(b.document));
}

interface Put {
  readonly revision: number;
  readonly indexed?: boolean;
}
async function put(
  gateway: GatewayOptions,
  collection: string,
  document: string,
  input: unknown,
  wait: boolean,
): Promise<Put> {
  const { body } = await ask(gateway, `${pathOf(collection, document)}${wait ? "?wait=indexed" : ""}`, {
    method: "PUT",
    body: input,
  });
  return body as Put;
}

const pathOf = (collection: string, document: string): string =>
  `/v1/knowledge/${encodeURIComponent(collection)}/${encodeURIComponent(document)}`;

/** The path inside the folder without its ending, a valid id whatever the file is called. */
function documentOf(folder: string, file: string): string {
  const path = relative(folder, file).split(sep).join("/");
  return path
    .slice(0, path.length - extname(path).length)
    .replace(/\s+/g, "-")
    .slice(0, 256);
}

function titleOf(text: string, fallback: string): string {
  const heading = /^#{1,6}\s+(.+?)\s*#*$/m.exec(text)?.[1];
  return (heading ?? basename(fallback)).slice(0, 512);
}

async function filesOf(folder: string): Promise<string[]> {
  const found = await stat(folder).catch(() => undefined);
  if (!found?.isDirectory()) throw usage(`${folder} is no folder`, "jetclaw kb import <folder>");
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && IMPORTED.includes(extname(entry.name).toLowerCase()))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

async function readText(file: string): Promise<string> {
  if (file !== "-")
    return readFile(file, "utf8").catch((cause: unknown) => {
      throw new CliFailure(`${file} cannot be read`, {
        cause,
        next: "Name a file, or - to read standard input.",
      });
    });
  if (process.stdin.isTTY) note("Reading the document from the terminal; Ctrl-D ends it.");
  let text = "";
  for await (const chunk of process.stdin.setEncoding("utf8")) text += chunk;
  return text;
}
