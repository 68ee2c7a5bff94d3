/** `jetclaw level`: the load level, why, what it was before; and holding it by hand. */
import { Command, Option } from "commander";
import type { LevelStatus, LoadAdmin } from "#actors/governor/port.ts";
import { LEVELS, type Level } from "#contracts/level.ts";
import type { LevelOverride } from "#contracts/load.ts";
import { usage } from "./failure.ts";
import { ask, gatewayOf, reachesGateway } from "./gateway.ts";
import { note, print, printColumns, printJson } from "./print.ts";

interface LevelFlags {
  readonly reason?: string;
  readonly history?: boolean;
  readonly url?: string;
  readonly key?: string;
  readonly nats?: string;
  readonly json?: boolean;
}

const MEANING = [
  "normal",
  "new conversations get the smaller pool",
  "new conversations get cached answers and extracts of documents",
  "new conversations are refused",
] as const;

export function levelCommand(): Command {
  return reachesGateway(
    new Command("level")
      .description("the load level, why, and holding it by hand")
      .argument("[level]", "0 to 3 to hold it, auto to let the governor decide again"),
  )
    .option("--reason <text>", "why; kept with the change")
    .option("--history", "the last changes, the newest first")
    .addOption(new Option("--nats <url>", "over NATS directly, without a gateway"))
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      '\nExamples:\n  jetclaw level\n  jetclaw level --history\n  jetclaw level 1 --reason "launch at noon"\n  jetclaw level auto --reason "launch is over"',
    )
    .action(run);
}

async function run(wanted: string | undefined, flags: LevelFlags): Promise<void> {
  const load = await sourceOf(flags);
  if (wanted !== undefined) {
    const level = parse(wanted);
    if (!flags.reason)
      throw usage(
        "a change of the level needs a reason",
        `jetclaw level ${wanted} --reason "why", for whoever asks later.`,
      );
    const held = await load.override(level, flags.reason);
    if (flags.json) return printJson(held);
    return note(
      held.level === null
        ? "The governor decides again."
        : `Level ${held.level} is held: ${MEANING[held.level]}. jetclaw level auto gives it back.`,
    );
  }
  const status = await load.status();
  if (flags.json) return printJson(status);
  if (flags.history) return showHistory(status);
  print(`level ${status.level}: ${MEANING[status.level]}`);
  if (status.at > 0) print(`since ${timeOf(status.at)}${status.manual ? ", by hand" : ""}: ${status.reason}`);
}

function showHistory({ history }: LevelStatus): void {
  if (history.length === 0) return note("The level was never changed.");
  printColumns(
    ["AT", "LEVEL", "BY", "REASON"],
    history.map(({ at, level, by, reason }) => [timeOf(at), level, by, reason]),
  );
}

const timeOf = (at: number): string => new Date(at).toISOString().slice(0, 19);

interface Source {
  status(): Promise<LevelStatus>;
  override(level: Level | null, reason: string): Promise<LevelOverride>;
}

async function sourceOf(flags: LevelFlags): Promise<Source> {
  const { nats } = flags;
  if (nats) {
    const { withLoad } = await import("./direct.ts");
    const over = <T>(work: (load: LoadAdmin) => Promise<T>): Promise<T> => withLoad(nats, work);
    return {
      status: () => over((load) => load.status()),
      override: (level, reason) => over((load) => load.override(level, reason, "jetclaw level --nats")),
    };
  }
  const gateway = gatewayOf(flags);
  return {
    status: async () => (await ask(gateway, "/v1/admin/level")).body as LevelStatus,
    override: async (level, reason) =>
      (await ask(gateway, "/v1/admin/level", { method: "PUT", body: { level, reason } }))
        .body as LevelOverride,
  };
}

function parse(text: string): Level | null {
  if (text === "auto") return null;
  const level = LEVELS.find((each) => String(each) === text);
  if (level === undefined) throw usage(`a level is 0, 1, 2, 3 or auto, not "${text}"`);
  return level;
}
