/** `jetclaw kb import`: folders and files into a collection. */
import { type Command, Option } from "commander";
import type { CloudEvent } from "#contracts/cloudevent.ts";
import type { DocumentInput } from "#contracts/knowledge.ts";
import { Refused } from "../import/format.ts";
import type { ImportOptions, ImportReport, ImportTarget } from "../import/run.ts";
import { CliFailure, usage } from "./failure.ts";
import { type Answered, type Asked, ask, type GatewayOptions, gatewayOf } from "./gateway.ts";
import { collectionPath, documentPath, type KbOptions, kbSubcommand, listPages } from "./kb-collection.ts";
import { wholeNumber } from "./number-option.ts";
import { note, print, printJson, progressLine } from "./print.ts";

interface Flags extends KbOptions {
  readonly locale?: string;
  readonly prune?: boolean;
  readonly dryRun?: boolean;
  readonly inFlight: number;
  readonly wait: boolean;
}

/** What was interrupted ends as a shell expects of Ctrl-C. */
const INTERRUPTED = 130;
const SHOWN = 20;
const BAR = 24;
/** A store that is busy gets so many more attempts, each after twice the wait. */
const ATTEMPTS = 6;
const FIRST_WAIT_MS = 200;

export function importCommand(): Command {
  return kbSubcommand(
    "import",
    "store the documents of folders and files; what is stored already is left alone",
  )
    .argument("<path...>", "folders, read with their subfolders, or files")
    .option(
      "--locale <locale>",
      "language of documents that do not name theirs; default: recognised from the text",
    )
    .option("--prune", "remove every document of the collection that is not among these files")
    .option("--dry-run", "say what would be done and do nothing")
    .addOption(
      new Option("--in-flight <n>", "documents under way at once")
        .default(16)
        .argParser(wholeNumber("--in-flight", 1, 256)),
    )
    .option("--no-wait", "do not wait until everything can be found")
    .addHelpText(
      "after",
      `
A language that --locale gave stays when the same text is imported without it: to have it recognised, remove the document
first (jetclaw kb rm); to change it, give another one.

Formats: .md .markdown (front matter: title, locale, tags, url), .html .htm, .txt, .pdf, .jsonl .ndjson (a line is a
document {id, title, text, url, locale, tags} or a CloudEvent). The id of a document is its path in the folder without
the ending. Links are followed, what they lead to comes once. Names that begin with a dot and node_modules are passed
over, and so are other formats, also .mdx, which holds code; how many is said. A file that cannot be read or holds no text is named, and what it was
before is still found, with --prune too; the others are stored, and the exit code is 1. Ctrl-C finishes what is under way; run it again to go on.

Examples:
  jetclaw kb import docs/ --collection shop
  jetclaw kb import handbook.pdf faq/ --locale en
  jetclaw kb import docs/ --prune --dry-run`,
    )
    .action(importAll);
}

async function importAll(paths: readonly string[], flags: Flags): Promise<void> {
  const { filesOf } = await import("../import/files.ts");
  const { locale } = flags;
  if (locale !== undefined) await requireLanguage(locale);
  const { IMPORTED } = await import("../import/format.ts");
  const { runImport } = await import("../import/run.ts");
  const passedOver = new Map<string, number>();
  const files = await filesOf(paths, (kind) => passedOver.set(kind, (passedOver.get(kind) ?? 0) + 1)).catch(
    (cause: unknown) => {
      const { code, path, message } = cause as NodeJS.ErrnoException;
      throw usage(
        code === "ENOENT" ? `there is no file or folder ${path}` : message,
        "Name the folder or the files with your documents.",
      );
    },
  );
  if (passedOver.size > 0)
    note(`Passed over: ${[...passedOver].map(([kind, count]) => `${count} ${kind}`).join(", ")}.`);
  if (files.length === 0)
    throw new CliFailure(`${paths.join(", ")} holds no ${IMPORTED.join(", ")} file`, {
      next: "Name the folder with your documents.",
    });
  const gateway = gatewayOf(flags);
  const stop = new AbortController();
  const onSignal = (): void => {
    note("\nFinishing what is under way ...");
    stop.abort();
  };
  process.once("SIGINT", onSignal);
  const progress = progressOf();
  try {
    const { inFlight, prune = false, dryRun = false } = flags;
    const report = await runImport(targetOf(gateway, flags.collection), {
      ...{ files, locale, inFlight, prune, dryRun, signal: stop.signal },
      onProgress: progress.update,
    }).finally(progress.end);
    const indexed =
      flags.wait && !report.interrupted && report.revision > 0
        ? await waitIndexed(gateway, flags.collection, report.revision)
        : undefined;
    tell(flags, report, indexed);
    if (report.interrupted) process.exitCode = INTERRUPTED;
    else if (report.broken.length > 0) process.exitCode = 1;
  } finally {
    process.off("SIGINT", onSignal);
  }
}

export async function requireLanguage(locale: string): Promise<void> {
  const { isLanguage } = await import("../import/files.ts");
  if (!isLanguage(locale)) throw usage(`--locale is a language such as en or nl-BE, not "${locale}"`);
}

function targetOf(gateway: GatewayOptions, collection: string): ImportTarget {
  const change = async (path: string, asked: Asked): Promise<{ revision: number }> =>
    (await persistently(gateway, path, asked)).body as { revision: number };
  return {
    async known() {
      const known = new Map<string, { hash: string; locale?: string | undefined }>();
      for await (const { document, hash, locale } of listPages(gateway, collection))
        known.set(document, { hash, locale });
      return known;
    },
    put: (document: string, input: DocumentInput) =>
      change(documentPath(collection, document), { method: "PUT", body: input }),
    async remove(document: string) {
      const path = documentPath(collection, document);
      const { status, body } = await persistently(gateway, path, { method: "DELETE", accept: [404] });
      return status === 404 ? { revision: 0 } : (body as { revision: number });
    },
    async tell(events: readonly CloudEvent[]) {
      const { body } = await persistently(gateway, `${collectionPath(collection)}/events`, {
        method: "POST",
        body: events,
        type: "application/cloudevents-batch+json",
      });
      return (body as { results: { outcome: string; revision: number }[] }).results;
    },
  };
}

/** A gateway that says "later" is asked again; what it refuses is the document's fault, anything else ends the import. */
async function persistently(gateway: GatewayOptions, path: string, asked: Asked): Promise<Answered> {
  for (let attempt = 1; ; attempt++)
    try {
      return await ask(gateway, path, asked);
    } catch (error) {
      if (!(error instanceof CliFailure) || error.status === undefined) throw error;
      const later = error.status === 429 || error.status >= 500;
      if (!later && error.status !== 401 && error.status !== 403) throw new Refused(error.message);
      if (!later || attempt >= ATTEMPTS) throw error;
      await new Promise((resolve) => setTimeout(resolve, FIRST_WAIT_MS * 2 ** (attempt - 1)));
    }
}

/** True when everything up to the revision can be found. */
async function waitIndexed(gateway: GatewayOptions, collection: string, revision: number): Promise<boolean> {
  const query = `after=${revision - 1}&limit=1&wait=indexed`;
  const { body } = await ask(gateway, `${collectionPath(collection)}?${query}`);
  return (body as { indexed?: boolean }).indexed === true;
}

function progressOf(): { update: ImportOptions["onProgress"]; end(): void } {
  const line = progressLine();
  const from = performance.now();
  let said = "";
  return {
    update({ share, stored, unchanged, broken }) {
      const full = Math.round(share * BAR);
      const rate = Math.round(stored / Math.max(0.001, (performance.now() - from) / 1_000));
      said = `[${"#".repeat(full)}${"-".repeat(BAR - full)}] ${Math.floor(share * 100)} %  ${stored} stored, ${unchanged} unchanged, ${broken} failed, ${rate}/s`;
      line.update(said);
    },
    // What is printed next begins on a line of its own.
    end: () => line.end(said),
  };
}

function tell(flags: Flags, report: ImportReport, indexed: boolean | undefined): void {
  const { stored, unchanged, removed, events, broken, interrupted, notPruned } = report;
  const { collection, dryRun = false } = flags;
  for (const { where, reason, former } of broken.slice(0, SHOWN)) {
    const next = `Its former text is still found: mend the file, or jetclaw kb rm ${former} -c ${collection}`;
    note(former === undefined ? `${where}: ${reason}` : `${where}: ${reason}. ${next}`);
  }
  if (broken.length > SHOWN) note(`... and ${broken.length - SHOWN} more; --json lists them all`);
  if (notPruned) note(`Nothing was pruned: ${notPruned}.`);
  if (interrupted) note("Interrupted. Run the same command to go on; what is stored is left alone.");
  if (indexed === false)
    note(`Everything is stored, but not searchable yet: jetclaw kb status -c ${collection}`);
  if (flags.json) {
    const { revision } = report;
    return printJson({
      collection,
      dryRun,
      stored,
      unchanged,
      removed,
      events,
      broken,
      interrupted,
      notPruned,
      indexed,
      revision,
    });
  }
  const told = Object.entries(events).map(([outcome, count]) => `, ${count} events ${outcome}`);
  const [put, gone] = dryRun ? ["to be stored", "to be removed"] : ["stored", "removed"];
  print(
    `${collection}: ${stored.length} ${put}, ${unchanged} unchanged, ${removed.length} ${gone}, ${broken.length} failed${told.join("")}.`,
  );
  if (dryRun) for (const document of removed) print(`  remove ${document}`);
}
