/** `jetclaw bench overload`, `fairness`, `traffic`, `pump`: deployments of several processes under load. */
import { readFile, rm } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { Command } from "commander";
import type { LoadBench } from "../bench/deployed.ts";
import type { BenchResult } from "../bench/shape.ts";
import type { TracedRequest } from "../bench/trace.ts";
import { readSettings } from "../settings.ts";
import { report } from "./bench-table.ts";
import { cancelOnSignal } from "./cancel.ts";
import { usage } from "./failure.ts";
import { count } from "./number-option.ts";
import { note } from "./print.ts";

export interface Common {
  readonly seed: number;
  readonly seconds: number;
  readonly json?: boolean;
  readonly plot?: string;
}

/** @returns commands for `bench` */
export const loadCommands = (): Command[] =>
  [overloadCommand, fairnessCommand, trafficCommand, pumpCommand].map((make) => make());

/** What they have in common: flags, the run, the ways to print. */
export function loadCommand<Flags extends Common>(
  name: string,
  about: string,
  seconds: readonly [value: number, about: string],
  bench: (flags: Flags & LoadBench) => Promise<BenchResult | undefined>,
): Command {
  return new Command(name)
    .description(about)
    .addOption(count("--seed <n>", "of arrivals and texts", 1, 0))
    .addOption(count("--seconds <n>", seconds[1], seconds[0]))
    .option("--json", "print JSON")
    .option("--plot <file.svg>", "draw the figures, or what happened over time")
    .action(async ({ json, plot, ...flags }: Flags) => {
      const result = await underWatch(async (common) => bench({ ...flags, ...common } as Flags & LoadBench));
      if (result) await report(result, { json, plot } as Common);
    });
}

/** How many processes of each kind take part. */
const withFleet = (slots: number, command: Command): Command =>
  command
    .addOption(count("--slots <n>", "jobs at once a worker", slots))
    .addOption(count("--workers <n>", "processes that run jobs", 2))
    .addOption(count("--hosts <n>", "processes that host conversations", 2));

const overloadCommand = (): Command =>
  withFleet(
    8,
    loadCommand<Common & OverloadFlags>(
      "overload",
      "ongoing conversations beside several times more new ones than can be served",
      [15, "of each of the two phases, alone and overloaded"],
      async (flags) => (await import("../bench/overload.ts")).benchOverload(flags),
    )
      .addOption(count("--factor <n>", "all arrivals, as a multiple of the capacity", 3))
      .addOption(count("--model-ms <n>", "time of a job at the model", 800)),
  ).addHelpText(
    "after",
    "\nExamples:\n  jetclaw bench overload\n  jetclaw bench overload --factor 3 --seconds 60 --json --plot overload.svg",
  );
const fairnessCommand = (): Command =>
  withFleet(
    64,
    loadCommand<Common & FairnessFlags>(
      "fairness",
      "what tenants at an even rate notice of one that floods",
      [25, "of each of the four phases"],
      async (flags) => (await import("../bench/fairness.ts")).benchFairness(flags),
    )
      .addOption(count("--tenants <n>", "at an even rate", 200, 2))
      .addOption(count("--flood <n>", "rate of the flooding tenant, as a multiple of its even rate", 10))
      .addOption(count("--model-ms <n>", "time of a job at the model", 400)),
  ).addHelpText(
    "after",
    "\nExamples:\n  jetclaw bench fairness\n  jetclaw bench fairness --seconds 120 --json --plot fairness.svg",
  );
const pumpCommand = (): Command =>
  loadCommand<Common & PumpFlags>(
    "pump",
    "what workers cost while they wait, and what taking a job costs",
    [15, "of each of the two measurements"],
    async (flags) => (await import("../bench/pump.ts")).benchPump(flags),
  )
    .addOption(count("--idle-workers <n>", "worker processes that wait", 16))
    .addOption(count("--workers <n>", "pump processes under load", 4))
    .addOption(count("--slots <n>", "jobs at once a pump", 8))
    .addOption(count("--model-ms <n>", "time that a job waits", 20))
    .addHelpText("after", "\nExamples:\n  jetclaw bench pump\n  jetclaw bench pump --seconds 60 --json");
const trafficCommand = (): Command =>
  withFleet(
    32,
    loadCommand<Common & TrafficFlags>(
      "traffic",
      "recorded traffic played again, faster: nothing lost, latency, depth of the queue",
      [60, "of the benchmark: the trace is cut after them"],
      async ({ trace: name, data, ...flags }) => {
        const trace = await readTrace(data, name);
        if (!trace) return undefined;
        return (await import("../bench/traffic.ts")).benchTraffic({ ...flags, trace, traceName: name });
      },
    )
      .option("--trace <file>", "lines of { t, in, out }, in the folder traffic of --data", DEFAULT_TRACE)
      .option("--data <folder>", "where evaluation data is", DEFAULT_DATA)
      .addOption(count("--from <n>", "seconds of the recording that are skipped", 0, 0))
      .addOption(count("--speed <n>", "times as fast as it was recorded, arrivals and model alike", 20)),
  ).addHelpText(
    "after",
    "\nWithout the data it says so and ends with 0.\n\nExamples:\n  jetclaw bench traffic\n  jetclaw bench traffic --trace azure-code-bursts-30min.jsonl --speed 1 --from 840 --seconds 120 --json --plot traffic.svg",
  );

const DEFAULT_DATA = "../shared/data";
const DEFAULT_TRACE = "azure-conv-30min.jsonl";

/** Undefined, with a remark, where there is no such trace: evaluation data is no part of the project. */
async function readTrace(data: string, name: string): Promise<TracedRequest[] | undefined> {
  const { parseTrace } = await import("../bench/trace.ts");
  const path = isAbsolute(name) ? name : join(data, "traffic", name);
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
  if (text === undefined)
    return void note(`Not measured: there is no ${path}. --data names the folder of the data.`);
  const trace = parseTrace(text);
  if (trace.length === 0) throw usage(`${path} holds no request`);
  return trace;
}

interface TrafficFlags {
  readonly trace: string;
  readonly data: string;
  readonly from: number;
  readonly speed: number;
  readonly slots: number;
  readonly workers: number;
  readonly hosts: number;
}

interface FairnessFlags {
  readonly tenants: number;
  readonly flood: number;
  readonly modelMs: number;
  readonly slots: number;
  readonly workers: number;
  readonly hosts: number;
}
interface PumpFlags {
  readonly idleWorkers: number;
  readonly workers: number;
  readonly slots: number;
  readonly modelMs: number;
}

interface OverloadFlags {
  readonly factor: number;
  readonly modelMs: number;
  readonly slots: number;
  readonly workers: number;
  readonly hosts: number;
}

/** Finds the nats-server, and leaves no process and no file behind, cancelled or not. */
export async function underWatch<T>(
  bench: (common: Omit<LoadBench, "seed" | "seconds">) => Promise<T>,
): Promise<T> {
  const settings = readSettings();
  const { ensureNatsServer } = await import("#runtime/nats/server.ts");
  const { natsServerVersion } = await import("../bench/nats-version.ts");
  const { endAll } = await import("../bench/cleanup.ts");
  const natsBin = await ensureNatsServer({
    log: note,
    given: settings.natsServerBin,
    cacheDir: settings.cacheDir,
  });
  const folder = join(settings.dataDir, `bench-${process.pid}`);
  const leaveNothing = async (): Promise<void> => {
    await endAll();
    await rm(folder, { recursive: true, force: true });
  };
  cancelOnSignal(leaveNothing);
  return bench({ folder, natsBin, natsServer: await natsServerVersion(natsBin), say: note }).finally(
    leaveNothing,
  );
}
