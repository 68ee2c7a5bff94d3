/** `jetclaw bench vectors`: documents by their meaning, at size. */
import { readFile } from "node:fs/promises";
import { Command } from "commander";
import type { VectorsOptions } from "../bench/vectors.ts";
import { underWatch } from "./bench-load.ts";
import { report } from "./bench-table.ts";
import { count } from "./number-option.ts";

interface VectorsFlags extends Pick<VectorsOptions, "seed" | "documents" | "questions" | "changes"> {
  readonly vectors?: string;
  readonly json?: boolean;
}

export function vectorsCommand(): Command {
  return new Command("vectors")
    .description("many documents indexed by words and meaning, searched, changed and indexed anew")
    .addOption(count("--seed <n>", "of texts and vectors", 1, 0))
    .addOption(count("--documents <n>", "of 60 words", 100_000))
    .addOption(count("--questions <n>", "searched by the graph and by comparing with everything", 200))
    .addOption(count("--changes <n>", "waited for one after the other", 200))
    .option("--vectors <prefix>", "recorded vectors around which texts get theirs: <prefix>.f16")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  jetclaw bench vectors\n  jetclaw bench vectors --documents 10000 --json",
    )
    .action(async ({ vectors, ...flags }: VectorsFlags) => {
      const recorded = vectors ? { vectors: await readFile(`${vectors}.f16`) } : {};
      const { benchVectors } = await import("../bench/vectors.ts");
      await report(
        await underWatch((common) => benchVectors({ ...flags, ...recorded, ...common })),
        flags,
        "none",
      );
    });
}
