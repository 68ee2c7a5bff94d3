/** `jetclaw bench endpoint`: stateless requests to the OpenAI-compatible endpoint beside a bare proxy. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Command, Option } from "commander";
import type { EndpointOptions } from "../bench/endpoint.ts";
import { readSettings } from "../settings.ts";
import { tableOf } from "./bench-table.ts";
import { cancelOnSignal } from "./cancel.ts";
import { count } from "./number-option.ts";
import { note, print, printJson } from "./print.ts";

interface EndpointFlags
  extends Pick<
    EndpointOptions,
    "seed" | "seconds" | "inFlight" | "rounds" | "questionBytes" | "replyBytes" | "sync"
  > {
  readonly json?: boolean;
  readonly plot?: string;
}

export function endpointCommand(): Command {
  return new Command("endpoint")
    .description("requests to the OpenAI-compatible endpoint, beside a bare proxy in the same run")
    .addOption(count("--seed <n>", "of texts", 1, 0))
    .addOption(count("--seconds <n>", "measured under full load, for each of the two", 15))
    .addOption(count("--in-flight <n>", "clients", 64))
    .addOption(count("--rounds <n>", "alternations of the two; figures are medians", 3))
    .addOption(count("--question-bytes <n>", "of a request's message", 512))
    .addOption(count("--reply-bytes <n>", "of an answer", 200))
    .addOption(
      new Option("--sync <mode>", "when acknowledged writes reach the disk")
        .choices(["1s", "always"])
        .default("1s"),
    )
    .option("--json", "print JSON")
    .option("--plot <file.svg>", "draw the figures beside the baseline")
    .addHelpText(
      "after",
      "\nExamples:\n  jetclaw bench endpoint\n  jetclaw bench endpoint --json --seconds 30 --in-flight 64",
    )
    .action(async ({ json, plot: file, ...flags }: EndpointFlags) => {
      const settings = readSettings();
      const { ensureNatsServer } = await import("#runtime/nats/server.ts");
      const { natsServerVersion } = await import("../bench/nats-version.ts");
      const { natsServerBin: given, cacheDir } = settings;
      const natsBin = await ensureNatsServer({ log: note, given, cacheDir });
      const { benchEndpoint } = await import("../bench/endpoint.ts");
      const { endAll } = await import("../bench/cleanup.ts");
      cancelOnSignal(endAll);
      const result = await benchEndpoint({
        ...flags,
        natsBin,
        natsServer: await natsServerVersion(natsBin),
        folder: join(settings.dataDir, `bench-${process.pid}`),
        say: note,
      });
      if (file) await writeFile(file, (await import("../bench/plot.ts")).plot(result));
      if (json) printJson(result);
      else print(tableOf(result, "bareProxy"));
    });
}
