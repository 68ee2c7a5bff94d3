/** `jetclaw kb`: the documents that assistants answer from. */
import { readFile } from "node:fs/promises";
import { Command } from "commander";
import { headingOf } from "#contracts/heading.ts";
import type { DocumentInput } from "#contracts/knowledge.ts";
import { CliFailure } from "./failure.ts";
import { ask, type GatewayOptions, gatewayOf } from "./gateway.ts";
import { allListed, documentPath, type KbOptions, kbSubcommand } from "./kb-collection.ts";
import { importCommand, requireLanguage } from "./kb-import.ts";
import { reindexCommand } from "./kb-reindex.ts";
import { searchCommand, statusCommand } from "./kb-search.ts";
import { vectorsCommand } from "./kb-vectors.ts";
import { note, print, printColumns, printJson } from "./print.ts";

export function kbCommand(): Command {
  const kb = new Command("kb").description("documents: import, put, get, rm, ls, search, status").addHelpText(
    "after",
    `
Examples:
  jetclaw kb ls
  jetclaw kb put returns returns.md
  echo "We deliver in two days." | jetclaw kb put delivery - --title Delivery
  jetclaw kb import docs/ --collection shop
  jetclaw kb search "How long does delivery take?"
  jetclaw kb rm returns`,
  );
  kb.addCommand(putCommand())
    .addCommand(getCommand())
    .addCommand(removeCommand())
    .addCommand(listCommand())
    .addCommand(importCommand())
    .addCommand(searchCommand())
    .addCommand(statusCommand())
    .addCommand(reindexCommand())
    .addCommand(vectorsCommand());
  return kb;
}

function putCommand(): Command {
  return kbSubcommand("put", "store a document from a file, or from standard input with -")
    .argument("<document>", "its id")
    .argument("[file]", "Markdown, HTML, text or PDF; - or nothing reads text from standard input", "-")
    .option("--title <title>", "title; default: the file's, its first heading, else the id")
    .option("--locale <locale>", "language, such as en or nl; default: recognised from the text")
    .option("--link <url>", "where the document can be read")
    .option("--no-wait", "do not wait until it can be found")
    .addHelpText("after", "\nExample:\n  jetclaw kb put returns returns.md --locale en")
    .action(
      async (
        document: string,
        file: string,
        options: KbOptions & { title?: string; locale?: string; link?: string; wait: boolean },
      ) => {
        const { locale, link } = options;
        if (locale !== undefined) await requireLanguage(locale);
        const read = await readInput(file);
        const title = options.title ?? read.title ?? headingOf(read.text) ?? document.slice(0, 512);
        const answered = await put(
          gatewayOf(options),
          options.collection,
          document,
          {
            ...read,
            title,
            ...(locale ? { locale } : {}),
            ...(link ? { url: link } : {}),
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
  return kbSubcommand("get", "print a document")
    .argument("<document>", "its id")
    .addHelpText("after", "\nExample:\n  jetclaw kb get returns --json")
    .action(async (document: string, options: KbOptions) => {
      const { body } = await ask(gatewayOf(options), documentPath(options.collection, document));
      if (options.json) return printJson(body);
      print((body as { text: string }).text);
    });
}

function removeCommand(): Command {
  return kbSubcommand("rm", "delete a document")
    .argument("<document>", "its id")
    .addHelpText("after", "\nExample:\n  jetclaw kb rm returns")
    .action(async (document: string, options: KbOptions) => {
      const { body } = await ask(
        gatewayOf(options),
        `${documentPath(options.collection, document)}?wait=indexed`,
        {
          method: "DELETE",
        },
      );
      if (options.json) return printJson(body);
      print(`Deleted ${options.collection}/${document}.`);
    });
}

function listCommand(): Command {
  return kbSubcommand("ls", "list a collection")
    .alias("list")
    .addHelpText("after", "\nExample:\n  jetclaw kb ls --collection shop")
    .action(async (options: KbOptions) => {
      const documents = await allListed(gatewayOf(options), options.collection);
      if (options.json) return printJson({ collection: options.collection, documents });
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
  const { body } = await ask(gateway, `${documentPath(collection, document)}${wait ? "?wait=indexed" : ""}`, {
    method: "PUT",
    body: input,
  });
  return body as Put;
}

/** As an import reads it, so that the same file is the same document. */
async function readInput(
  file: string,
): Promise<Omit<DocumentInput, "title"> & { title?: string | undefined }> {
  const bytes = file === "-" ? await readStdin() : await readBytes(file);
  const { fieldsOf } = await import("../import/files.ts");
  const { holdsLines, isImported, readerOf } = await import("../import/format.ts");
  const format = file !== "-" && isImported(file) && !holdsLines(file) ? file : "text.txt";
  try {
    return fieldsOf(await (await readerOf(format))(bytes));
  } catch (cause) {
    throw new CliFailure(`${file === "-" ? "standard input" : file} ${(cause as Error).message}`, { cause });
  }
}

async function readBytes(file: string): Promise<Uint8Array> {
  return await readFile(file).catch((cause: unknown) => {
    throw new CliFailure(`${file} cannot be read`, {
      cause,
      next: "Name a file, or - to read standard input.",
    });
  });
}

async function readStdin(): Promise<Uint8Array> {
  if (process.stdin.isTTY) note("Reading the document from the terminal; Ctrl-D ends it.");
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  return Buffer.concat(chunks);
}
