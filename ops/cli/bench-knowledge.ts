/** `jetclaw bench retrieval` and `knowledge`: what questions find, and what many documents cost. */
import { Command } from "commander";
import { underWatch } from "./bench-load.ts";
import { report } from "./bench-table.ts";
import { count } from "./number-option.ts";
import { note } from "./print.ts";

interface Common {
  readonly json?: boolean;
  readonly plot?: string;
}
interface RetrievalFlags extends Common {
  readonly data: string;
  readonly knowledge: string;
  readonly questions: string;
  readonly vectors?: string;
  readonly embeddings?: string;
  readonly model: string;
}
interface KnowledgeFlags extends Common {
  readonly seed: number;
  readonly documents: number;
  readonly questions: number;
  readonly inFlight: number;
}

/** @returns commands for `bench` */
export const knowledgeCommands = (): Command[] => [retrievalCommand(), knowledgeCommand()];

const retrievalCommand = (): Command =>
  new Command("retrieval")
    .description("how often questions find the right document: by words, by vectors, by both")
    .option("--data <folder>", "where evaluation data is", "../shared/data")
    .option(
      "--knowledge <file>",
      "documents, lines of { id, title, text }, in --data",
      "knowledge/bitext-answers.jsonl",
    )
    .option(
      "--questions <file>",
      "lines of { text, group }; group is the id of the right document",
      "cache/bitext.jsonl",
    )
    .option("--vectors <prefix>", "recorded vectors: PREFIX.f16 and PREFIX.keys.txt; words alone without")
    .option("--embeddings <url>", "a model that embeds, .../v1, instead of recorded vectors")
    .option("--model <name>", "the model at --embeddings", "all-minilm-l6-v2")
    .option("--json", "print JSON")
    .option("--plot <file.svg>", "draw the figures")
    .addHelpText(
      "after",
      "\nWithout the data it says so and ends with 0.\n\nExamples:\n  jetclaw bench retrieval\n  jetclaw bench retrieval --vectors ../shared/data/cache/minilm-l6-v2 --json --plot retrieval.svg\n  jetclaw bench retrieval --embeddings http://127.0.0.1:8090/v1",
    )
    .action(async ({ embeddings, model, ...flags }: RetrievalFlags) => {
      const { benchRetrieval } = await import("../bench/retrieval.ts");
      const live = embeddings === undefined ? {} : { embeddings: { baseUrl: embeddings, model } };
      const result = await benchRetrieval({ ...flags, ...live, say: note });
      if (!result)
        return note(
          `Not measured: ${flags.knowledge} or ${flags.questions} is not in ${flags.data}. --data names the folder.`,
        );
      await report(result, flags, "words");
    });

const knowledgeCommand = (): Command =>
  new Command("knowledge")
    .description("many documents stored, indexed, asked, changed: time and memory")
    .addOption(count("--seed <n>", "of documents and questions", 1, 0))
    .addOption(count("--documents <n>", "how many", 100_000, 10))
    .addOption(count("--questions <n>", "asked one after the other", 2_000))
    .addOption(count("--in-flight <n>", "documents under way at once", 64))
    .option("--json", "print JSON")
    .option("--plot <file.svg>", "draw the figures")
    .addHelpText(
      "after",
      "\nExamples:\n  jetclaw bench knowledge\n  jetclaw bench knowledge --documents 10000 --json",
    )
    .action(async (flags: KnowledgeFlags) => {
      const { benchKnowledge } = await import("../bench/knowledge.ts");
      await report(await underWatch((common) => benchKnowledge({ ...flags, ...common })), flags);
    });
