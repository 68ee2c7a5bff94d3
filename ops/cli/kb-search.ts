/** `jetclaw kb search` and `status`: what a question finds, and how a collection stands. */
import type { Command } from "commander";
import type { Passage } from "#contracts/job.ts";
import { ask, gatewayOf } from "./gateway.ts";
import { allListed, collectionPath, type KbOptions, kbSubcommand } from "./kb-collection.ts";
import { count } from "./number-option.ts";
import { note, print, printColumns, printJson } from "./print.ts";

const SHOWN_CHARS = 300;

export function searchCommand(): Command {
  return kbSubcommand("search", "the passages that a question finds, best first")
    .argument("<question...>", "as somebody would ask it")
    .option("--locale <locale>", "language of the asker; default: recognised from the question")
    .addOption(count("--limit <n>", "most passages", 5))
    .addHelpText("after", '\nExample:\n  jetclaw kb search "How long does delivery take?"')
    .action(async (question: string[], options: KbOptions & { locale?: string; limit: number }) => {
      const { limit } = options;
      const { body } = await ask(gatewayOf(options), `${collectionPath(options.collection)}/search`, {
        method: "POST",
        body: { question: question.join(" "), limit, ...(options.locale ? { locale: options.locale } : {}) },
      });
      if (options.json) return printJson(body);
      const { passages } = body as { passages: Passage[] };
      if (passages.length === 0)
        return note(
          `Nothing in ${options.collection} answers that. See what it holds: jetclaw kb ls -c ${options.collection}`,
        );
      for (const { document, title, score, text, url } of passages) {
        print(`${document}  ${title}  (${score.toPrecision(3)})${url ? `  ${url}` : ""}`);
        const shown = text.replace(/\s+/g, " ");
        print(`  ${shown.length > SHOWN_CHARS ? `${shown.slice(0, SHOWN_CHARS)} ...` : shown}\n`);
      }
    });
}

export function statusCommand(): Command {
  return kbSubcommand("status", "how many documents a collection has, and whether all of them can be found")
    .addHelpText("after", "\nExample:\n  jetclaw kb status --collection shop")
    .action(async (options: KbOptions) => {
      const gateway = gatewayOf(options);
      const documents = await allListed(gateway, options.collection);
      const revision = documents.reduce((most, each) => Math.max(most, each.revision), 0);
      const changedAt = documents.reduce((most, { at }) => Math.max(most, at), 0);
      const { body } = await ask(
        gateway,
        `${collectionPath(options.collection)}?after=${Math.max(0, revision - 1)}&limit=1&wait=indexed`,
      );
      const { indexed } = body as { indexed: boolean };
      const locales: Record<string, number> = {};
      for (const { locale = "unknown" } of documents) locales[locale] = (locales[locale] ?? 0) + 1;
      const { collection } = options;
      if (options.json)
        return printJson({ collection, documents: documents.length, locales, revision, changedAt, indexed });
      printColumns(
        ["COLLECTION", "DOCUMENTS", "LOCALES", "REVISION", "CHANGED", "SEARCHABLE"],
        [
          [
            collection,
            documents.length,
            Object.entries(locales)
              .map(([locale, count]) => `${locale} ${count}`)
              .join(", "),
            revision,
            changedAt === 0 ? "" : new Date(changedAt).toISOString().slice(0, 16),
            indexed ? "yes" : "not all yet",
          ],
        ],
      );
    });
}
