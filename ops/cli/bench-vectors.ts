/** `jetclaw bench vectors`: documents by their meaning, at size. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import type { VectorsOptions } from "../bench/vectors.ts";
import { readSettings } from "../settings.ts";
import { tableOf } from "./bench-table.ts";
import { count } from "./number-option.ts";
import { note, print, printJson } from "./print.ts";

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
    .action(async ({ vectors, json, ...flags }: VectorsFlags) => {
      const settings = readSettings();
      const { ensureNatsServer } = await import("#runtime/nats/server.ts");
      const { natsServerVersion } = await import("../bench/nats-version.ts");
      const { benchVectors } = await import("../bench/vectors.ts");
      const { natsServerBin: given, cacheDir } = settings;
      const natsBin = await ensureNatsServer({ log: note, given, cacheDir });
      const result = await benchVectors({
        ...flags,
        ...(vectors ? { vectors: await readFile(`${vectors}.f16`) } : {}),
        natsBin,
        natsServer: await natsServerVersion(natsBin),
        folder: join(settings.dataDir, `bench-${process.pid}`),
        say: note,
      });
      if (json) printJson(result);
      else print(tableOf(result, "none"));
    });
}
