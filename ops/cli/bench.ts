/** `jetclaw bench`: what a machine reaches, beside a baseline measured in the same run. */
import { Command, Option } from "commander";
import type { LoadBench } from "../bench/deployed.ts";
import type { BenchResult } from "../bench/shape.ts";
import type { TurnsOptions } from "../bench/turns.ts";
import { batchCommand } from "./bench-batch.ts";
import { cacheCommand } from "./bench-cache.ts";
import { endpointCommand } from "./bench-endpoint.ts";
import { hostCommands } from "./bench-hosts.ts";
import { knowledgeCommands } from "./bench-knowledge.ts";
import { loadCommands, underWatch } from "./bench-load.ts";
import { report } from "./bench-table.ts";
import { vectorsCommand } from "./bench-vectors.ts";
import { usage } from "./failure.ts";
import { count } from "./number-option.ts";
import { note } from "./print.ts";

interface TurnsFlags {
  readonly seed: number;
  readonly seconds: number;
  readonly inFlight: number;
  readonly rounds: number;
  readonly model: "echo" | "simulator";
  readonly chunks: number;
  readonly chunkMs?: number;
  readonly leastInFlight?: number;
  readonly sync: "1s" | "always";
  readonly hosts: number;
  readonly workers: number;
  readonly shards: "1" | "2" | "4" | "8" | "16";
  readonly sessions: number;
  readonly minutes: number;
  readonly watchMemory?: boolean;
  readonly json?: boolean;
  readonly plot?: string;
}

const PAYLOADS = { messageBytes: 512, jobBytes: 4_096, replyBytes: 1_024 };
const TURNS_PER_SESSION = 3;

export function benchCommand(): Command {
  const bench = new Command("bench")
    .description("measure this machine, beside a baseline where there is one")
    .addHelpText("after", "\nExamples:\n  jetclaw bench turns\n  jetclaw bench turns --json --seconds 30")
    .addCommand(turnsCommand())
    .addCommand(streamCommand())
    .addCommand(affinityCommand())
    .addCommand(batchCommand())
    .addCommand(endpointCommand())
    .addCommand(vectorsCommand())
    .addCommand(cacheCommand());
  for (const make of [loadCommands, hostCommands, knowledgeCommands])
    for (const command of make()) bench.addCommand(command);
  return bench;
}

interface AffinityFlags
  extends Pick<TurnsFlags, "seed" | "seconds" | "inFlight" | "rounds" | "json" | "plot"> {
  readonly endpoints: number;
  readonly turns: number;
  readonly prefillMsPer1kTokens: number;
}

function affinityCommand(): Command {
  return new Command("affinity")
    .description(
      "what it saves that a conversation stays with its model server, beside turns that go anywhere",
    )
    .addOption(count("--seed <n>", "of texts", 1, 0))
    .addOption(count("--seconds <n>", "measured for each of the two", 15))
    .addOption(count("--in-flight <n>", "conversations at once", 64))
    .addOption(count("--rounds <n>", "alternations of the two; figures are medians", 3))
    .addOption(count("--endpoints <n>", "simulated model servers", 2))
    .addOption(count("--turns <n>", "of a conversation", 6))
    .addOption(
      count(
        "--prefill-ms-per-1k-tokens <n>",
        "what a server takes to read what it does not remember",
        250,
        0,
      ),
    )
    .option("--json", "print JSON")
    .option("--plot <file.svg>", "draw the figures beside the baseline")
    .addHelpText(
      "after",
      "\nExamples:\n  jetclaw bench affinity\n  jetclaw bench affinity --endpoints 4 --json",
    )
    .action(async (flags: AffinityFlags) => {
      const { benchAffinity } = await import("../bench/affinity.ts");
      const { SCATTERED } = await import("../bench/affinity-figures.ts");
      const result = await benchAffinity({ ...flags, say: note });
      await report(result, flags, SCATTERED);
    });
}

function turnsCommand(): Command {
  return new Command("turns")
    .description("whole durable turns, beside a bare pipeline without features in the same run")
    .addOption(count("--seed <n>", "of texts and sessions", 1, 0))
    .addOption(count("--seconds <n>", "measured under full load, for each of the two", 15))
    .addOption(count("--in-flight <n>", "turns under way at once", 64))
    .addOption(count("--rounds <n>", "alternations of the two; figures are medians", 3))
    .addOption(new Option("--model <model>", "what answers").choices(["echo", "simulator"]).default("echo"))
    .addOption(count("--chunks <n>", "chunks an answer is streamed in", 0, 0))
    .addOption(
      new Option("--sync <mode>", "when acknowledged writes reach the disk")
        .choices(["1s", "always"])
        .default("1s"),
    )
    .addOption(count("--hosts <n>", "processes that host conversations", 2))
    .addOption(count("--workers <n>", "processes that run jobs", 1))
    .addOption(
      new Option("--shards <n>", "copies of the streams").choices(["1", "2", "4", "8", "16"]).default("4"),
    )
    .addOption(count("--sessions <n>", "distinct sessions at once", 512))
    .option("--watch-memory", "run for --minutes and report how the memory of hosts grows")
    .addOption(count("--minutes <n>", "length of --watch-memory", 10))
    .option("--json", "print JSON")
    .option("--plot <file.svg>", "draw the figures beside the baseline")
    .addHelpText(
      "after",
      "\nExamples:\n  jetclaw bench turns --seconds 15 --in-flight 64 --json\n  jetclaw bench turns --sync always --plot turns.svg\n  jetclaw bench turns --watch-memory --minutes 10",
    )
    .action(runTurns);
}

/** Long enough apart that no two chunks are coalesced into one. */
const CHUNK_MS = 40;
const LEAST_IN_FLIGHT = 128;
const STREAMED = { model: "echo", sync: "1s", hosts: 2, workers: 2, shards: "4", minutes: 0 } as const;

function streamCommand(): Command {
  return new Command("stream")
    .description(
      "turns whose answers are streamed in paced chunks: CPU a turn, and how many a second at most",
    )
    .addOption(count("--seed <n>", "of texts and sessions", 1, 0))
    .addOption(count("--seconds <n>", "measured for each number in flight, for each of the two", 8))
    .addOption(
      count(
        "--in-flight <n>",
        `most turns under way at once: from ${LEAST_IN_FLIGHT} doubled while the rate grows`,
        1_024,
      ),
    )
    .addOption(count("--rounds <n>", "alternations of the two; figures are medians", 1))
    .addOption(count("--chunks <n>", `chunks of an answer, ${CHUNK_MS} ms apart`, 20))
    .option("--json", "print JSON")
    .option("--plot <file.svg>", "draw the figures beside the baseline")
    .addHelpText("after", "\nExamples:\n  jetclaw bench stream\n  jetclaw bench stream --seconds 15 --json")
    .action(
      (flags: Pick<TurnsFlags, "seed" | "seconds" | "inFlight" | "rounds" | "chunks" | "json" | "plot">) =>
        runTurns({
          ...STREAMED,
          ...flags,
          leastInFlight: Math.min(LEAST_IN_FLIGHT, flags.inFlight),
          sessions: 2 * flags.inFlight,
          chunkMs: CHUNK_MS,
        }),
    );
}

async function runTurns(flags: TurnsFlags): Promise<void> {
  if (flags.sessions < flags.inFlight)
    throw usage("--sessions must be at least --in-flight: a session has one turn open at most");
  await report(await underWatch((common) => measure(flags, optionsOf(flags, common))), flags);
}

const optionsOf = (
  flags: TurnsFlags,
  { natsBin, ...common }: Omit<LoadBench, "seed" | "seconds">,
): TurnsOptions => ({
  ...common,
  ...(flags.chunkMs === undefined ? {} : { bench: "stream" }),
  seed: flags.seed,
  seconds: flags.seconds,
  inFlight: flags.inFlight,
  ...(flags.leastInFlight === undefined ? {} : { leastInFlight: flags.leastInFlight }),
  rounds: flags.rounds,
  side: {
    natsBin,
    sync: flags.sync,
    shards: Number(flags.shards) as TurnsOptions["side"]["shards"],
    hosts: flags.hosts,
    workers: flags.workers,
    sessions: flags.sessions,
    turnsPerSession: TURNS_PER_SESSION,
    payloads: PAYLOADS,
    chunks: flags.chunks,
    ...(flags.chunkMs === undefined ? {} : { chunkMs: flags.chunkMs, slots: flags.inFlight }),
    model: flags.model,
  },
});

async function measure({ watchMemory, minutes }: TurnsFlags, options: TurnsOptions): Promise<BenchResult> {
  if (!watchMemory) return (await import("../bench/turns.ts")).benchTurns(options);
  return (await import("../bench/memory.ts")).benchMemory(options, minutes);
}
