/** `jetclaw bench batch`: what batching gains, and what it costs a job that comes alone. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Command, Option } from "commander";
import type { BatchOptions } from "../bench/batch.ts";
import { readSettings } from "../settings.ts";
import { tableOf } from "./bench-table.ts";
import { cancelOnSignal } from "./cancel.ts";
import { count } from "./number-option.ts";
import { note, print, printJson } from "./print.ts";

interface BatchFlags
  extends Pick<
    BatchOptions,
    "seed" | "seconds" | "inFlight" | "rounds" | "mode" | "modelMs" | "maxRequests"
  > {
  readonly json?: boolean;
  readonly plot?: string;
}

export function batchCommand(): Command {
  return new Command("batch")
    .description("jobs in batches over a backend that gains from them, beside the same one by one")
    .addOption(count("--seed <n>", "of texts and arrivals", 1, 0))
    .addOption(count("--seconds <n>", "measured under full load, for each of the two", 15))
    .addOption(count("--in-flight <n>", "jobs under way at once", 64))
    .addOption(count("--rounds <n>", "alternations of the two; figures are medians", 3))
    .addOption(
      new Option("--mode <mode>", "how batches reach the backend")
        .choices(["chat-batch", "prompt-array"])
        .default("chat-batch"),
    )
    .addOption(count("--model-ms <n>", "time of a single request at the backend", 50))
    .addOption(count("--max-requests <n>", "most requests of a batch", 16))
    .option("--json", "print JSON")
    .option("--plot <file.svg>", "draw the figures beside the baseline")
    .addHelpText(
      "after",
      "\nExamples:\n  jetclaw bench batch\n  jetclaw bench batch --mode prompt-array --json --seconds 30",
    )
    .action(async ({ json, plot: file, ...flags }: BatchFlags) => {
      const settings = readSettings();
      const { ensureNatsServer } = await import("#runtime/nats/server.ts");
      const { natsServerVersion } = await import("../bench/nats-version.ts");
      const { natsServerBin: given, cacheDir } = settings;
      const natsBin = await ensureNatsServer({ log: note, given, cacheDir });
      const { benchBatch, UNBATCHED } = await import("../bench/batch.ts");
      const { endAll } = await import("../bench/cleanup.ts");
      cancelOnSignal(endAll);
      const result = await benchBatch({
        ...flags,
        natsBin,
        natsServer: await natsServerVersion(natsBin),
        folder: join(settings.dataDir, `bench-${process.pid}`),
        say: note,
      });
      if (file) await writeFile(file, (await import("../bench/plot.ts")).plot(result, UNBATCHED));
      if (json) printJson(result);
      else print(tableOf(result, UNBATCHED));
    });
}
