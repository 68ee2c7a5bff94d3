/** `jetclaw bench cache`: what the caches avoid on labelled traffic, and how often they are wrong. */
import { access } from "node:fs/promises";
import { basename, join } from "node:path";
import { Command, Option } from "commander";
import type { CacheOptions } from "../bench/cache.ts";
import type { LabelledRequest, TrafficWanted } from "../bench/cache-traffic.ts";
import { underWatch } from "./bench-load.ts";
import { report } from "./bench-table.ts";
import { usage } from "./failure.ts";
import { count } from "./number-option.ts";
import { note } from "./print.ts";

interface CacheFlags extends Omit<CacheOptions, "traffic" | "name" | "say" | "response"> {
  readonly lookUps: number;
  readonly traffic?: string;
  readonly kind: TrafficWanted["kind"];
  readonly mode: string;
  readonly intents: number;
  readonly data: string;
  readonly json?: boolean;
  readonly plot?: string;
}

const DEFAULT_DATA = "../shared/data";

export function cacheCommand(): Command {
  return new Command("cache")
    .description("inference that the caches avoid on labelled questions, and how often they are wrong")
    .addOption(count("--seed <n>", "of the generator, the oracle and the checks", 1, 0))
    .option("--traffic <file>", "lines of { text, group, entity, noise } in order of arrival")
    .addOption(
      new Option("--kind <kind>", "without --traffic: what the generator makes")
        .choices(["shop", "banking"])
        .default("shop"),
    )
    .addOption(
      new Option("--mode <mode>", "without --traffic: how wordings repeat")
        .choices(["pool", "bag", "distinct"])
        .default("bag"),
    )
    .addOption(
      count("--intents <n>", "without --traffic: of the kind's, drawn by the seed; 0: all of them", 0, 0),
    )
    .option("--data <folder>", "where evaluation data and, beside it, the generator are", DEFAULT_DATA)
    .option(
      "--knowledge <file>",
      "lines of { id, title, text }; groups without a document get their name as one",
    )
    .option("--vectors <prefix>", "recorded vectors: <prefix>.f16 and <prefix>.keys.txt")
    .addOption(share("--leak <share>", "of noise that the oracle answers from a wrong document", 0))
    .addOption(share("--changes <share>", "documents changed, a request", 0))
    .addOption(count("--lag <n>", "requests until invalidation has heard of a change", 20, 0))
    .addOption(share("--error-bound <share>", "wrong answers accepted, of hits", 0.01))
    .addOption(share("--check-share <share>", "of hits checked against the model", 0.02))
    .addOption(count("--entries <n>", "fill the cache up to so many entries and time look-ups", 0, 0))
    .addOption(
      count(
        "--look-ups <n>",
        "time so many identical questions in memory, in KV and in neither; 0: none",
        0,
        0,
      ),
    )
    .option("--locale <tag>", "of the questions", "en")
    .addOption(count("--input-tokens <n>", "of a request, for the money saved", 1_000))
    .addOption(money("--usd-per-m-tok-in <usd>", "price of a million input tokens", 0.25))
    .addOption(money("--usd-per-m-tok-out <usd>", "price of a million output tokens", 2))
    .option("--json", "print JSON")
    .option("--plot <file.svg>", "draw the figures beside exact repeats alone")
    .addHelpText(
      "after",
      "\nWithout the data it says so and ends with 0.\n\nExamples:\n  jetclaw bench cache --kind shop --mode pool\n  jetclaw bench cache --traffic traffic.jsonl --knowledge kb.jsonl --vectors minilm-l6-v2 --json\n  jetclaw bench cache --entries 100000 --look-ups 5000",
    )
    .action(async ({ traffic: file, kind, mode, intents, data, lookUps, ...flags }: CacheFlags) => {
      const traffic = await trafficOf(file, { kind, mode, intents, data, seed: flags.seed });
      if (!traffic) return;
      const { benchCache, EXACT } = await import("../bench/cache.ts");
      const own = join(data, "knowledge/bitext-answers.jsonl");
      const knowledge = flags.knowledge ?? (file === undefined && kind === "shop" ? own : undefined);
      const some = intents > 0 ? `, ${intents} intents` : "";
      const name = file === undefined ? `${kind} ${mode} ${flags.seed}${some}` : basename(file);
      const response = lookUps > 0 ? await responseOf(lookUps, flags.seed) : undefined;
      const result = await benchCache({ ...flags, traffic, knowledge, name, response, say: note });
      await report(result, flags, EXACT);
    });
}

async function responseOf(lookups: number, seed: number): Promise<CacheOptions["response"]> {
  const { responseLookups } = await import("../bench/cache-response.ts");
  return await underWatch(async ({ natsBin, natsServer, folder }) => ({
    natsServer,
    figures: await responseLookups({ natsBin, folder, lookups, seed }),
  }));
}

async function trafficOf(
  file: string | undefined,
  wanted: TrafficWanted,
): Promise<LabelledRequest[] | undefined> {
  const { generateTraffic, readTraffic } = await import("../bench/cache-traffic.ts");
  if (file !== undefined) return await readTraffic(file);
  const generator = join(wanted.data, "../tools/cache-traffic.mjs");
  const there = await access(generator).then(
    () => true,
    () => false,
  );
  if (there) return await generateTraffic(generator, wanted);
  return void note(
    `Not measured: there is no ${generator}. --traffic names a file, --data the folder of the data.`,
  );
}

const share = (flags: string, description: string, value: number): Option =>
  number(flags, description, value, 1);
const money = (flags: string, description: string, value: number): Option =>
  number(flags, description, value, Number.POSITIVE_INFINITY);

function number(flags: string, description: string, value: number, most: number): Option {
  return new Option(flags, description).default(value).argParser((text) => {
    const parsed = Number(text);
    if (text.trim() === "" || !(parsed >= 0 && parsed <= most))
      throw usage(`${flags.split(" ")[0]} is a number from 0 to ${most}, not "${text}"`);
    return parsed;
  });
}
