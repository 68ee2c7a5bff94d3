/** `jetclaw autoscale`: worker processes of a pool on this machine, as many as its queue needs. */
import { Command, Option } from "commander";
import { SCALE_DEFAULTS } from "#actors/governor/scale.ts";
import { LIMITS } from "#contracts/limits.ts";
import { natsUrlOf, readSettings } from "../settings.ts";
import { usage } from "./failure.ts";
import { count, wholeNumber } from "./number-option.ts";
import { note } from "./print.ts";

interface AutoscaleFlags {
  readonly pool: string;
  readonly min: number;
  readonly max: number;
  readonly targetDrainMs: number;
  readonly holdMs: number;
  readonly slots?: number;
  readonly nats?: string;
}

/** A worker's own drain and what its closing takes. */
const GRACE_MS = LIMITS.drainMs + 3_000;

export function autoscaleCommand(): Command {
  return new Command("autoscale")
    .description("run as many workers of a pool on this machine as its queue needs")
    .requiredOption("--pool <name>", "whose workers")
    .addOption(count("--min <n>", "fewest workers", 1))
    .addOption(count("--max <n>", "most workers", 4))
    .addOption(count("--target-drain-ms <ms>", "wait that is aimed at", SCALE_DEFAULTS.targetMs))
    .addOption(count("--hold-ms <ms>", "calm before a worker is ended", SCALE_DEFAULTS.holdMs))
    .addOption(new Option("--slots <n>", "jobs at once of each worker").argParser(wholeNumber("--slots")))
    .addOption(
      new Option("--nats <url>", "NATS server (default: JETCLAW_NATS_URL, else the one of `jetclaw up`)"),
    )
    .addHelpText(
      "after",
      "\nExamples:\n  jetclaw autoscale --pool default\n  jetclaw autoscale --pool default --min 1 --max 8 --target-drain-ms 1000",
    )
    .action(run);
}

async function run(flags: AutoscaleFlags): Promise<void> {
  if (flags.max < flags.min) throw usage(`--max ${flags.max} is less than --min ${flags.min}`);
  const settings = readSettings();
  const natsUrl = flags.nats ?? natsUrlOf(settings);
  const [
    { createLog },
    { loadConfig },
    { connectTo, provisionFor },
    { Fleet },
    { startAutoscaler },
    signals,
  ] = await Promise.all([
    import("#runtime/observe/log.ts"),
    import("../config.ts"),
    import("../compose/open.ts"),
    import("../compose/fleet.ts"),
    import("../compose/autoscale.ts"),
    import("../compose/signals.ts"),
  ]);
  const log = createLog({ level: settings.logLevel ?? "info", role: "autoscale" });
  const { config } = await loadConfig(settings, { callsModels: false, asks: "nothing" });
  if (!Object.hasOwn(config.pools, flags.pool))
    throw usage(
      `there is no pool "${flags.pool}"`,
      `The configuration has ${Object.keys(config.pools).join(", ")}.`,
    );
  const bus = await connectTo(natsUrl, "jetclaw-autoscale", log);
  await provisionFor(bus, config);
  const fleet = new Fleet({ ...workerCommand(flags), log, graceMs: GRACE_MS });
  const { min, max, targetDrainMs: targetMs, holdMs } = flags;
  const scaler = await startAutoscaler({
    bus,
    log,
    pool: flags.pool,
    policy: { min, max, targetMs, holdMs, warmMs: SCALE_DEFAULTS.warmMs },
    fleet,
    onChange: (from, to, drainMs) =>
      note(`${flags.pool}: ${from} -> ${to} workers, drain time ${drainMs} ms`),
  });
  const served = signals.serveUntilSignalled({
    async stop() {
      await scaler.stop();
      await bus.close();
    },
    abandon: () => fleet.stop(),
    log,
    say: note,
  });
  note(`${flags.pool}: ${min} to ${max} workers, target ${targetMs} ms. Ctrl-C stops them all.`);
  await served;

  /** This program again, by the same Node with the same flags. The URL goes by the environment: it may hold a password. */
  function workerCommand({ pool, slots }: AutoscaleFlags): { command: string; args: string[] } {
    process.env.JETCLAW_NATS_URL = natsUrl;
    const entry = process.argv[1] as string;
    const args = [
      "run",
      "worker",
      "--pool",
      pool,
      ...(slots === undefined ? [] : ["--slots", String(slots)]),
    ];
    return { command: process.execPath, args: [...process.execArgv, entry, ...args] };
  }
}
