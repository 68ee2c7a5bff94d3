/** `jetclaw bench endpoint`: stateless requests to the OpenAI-compatible endpoint beside a bare proxy. */
import { Command, Option } from "commander";
import type { EndpointOptions } from "../bench/endpoint.ts";
import { underWatch } from "./bench-load.ts";
import { report } from "./bench-table.ts";
import { count } from "./number-option.ts";

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
    .action(async (flags: EndpointFlags) => {
      const { benchEndpoint } = await import("../bench/endpoint.ts");
      await report(await underWatch((common) => benchEndpoint({ ...flags, ...common })), flags, "bareProxy");
    });
}
