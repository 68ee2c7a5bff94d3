/** `jetclaw bench batch`: what batching gains, and what it costs a job that comes alone. */
import { Command, Option } from "commander";
import type { BatchOptions } from "../bench/batch.ts";
import { underWatch } from "./bench-load.ts";
import { report } from "./bench-table.ts";
import { count } from "./number-option.ts";

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
    .action(async (flags: BatchFlags) => {
      const { benchBatch, UNBATCHED } = await import("../bench/batch.ts");
      await report(await underWatch((common) => benchBatch({ ...flags, ...common })), flags, UNBATCHED);
    });
}
