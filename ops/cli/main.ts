/** The command line: one file a command, one place where errors become lines and exit codes. */
import { readFileSync } from "node:fs";
import { Command } from "commander";
import { isCancelled } from "../bench/cleanup.ts";
import { EXIT, reportFailure, usage } from "./failure.ts";

/** How long a command that failed may take to close what it opened. */
const END_LIMIT_MS = 1_000;

/** Every command, in the order in which someone new meets them; loaded when it is asked for. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  up: async () => (await import("./up.ts")).upCommand(),
  init: async () => (await import("./init.ts")).initCommand(),
  chat: async () => (await import("./chat.ts")).chatCommand(),
  kb: async () => (await import("./kb.ts")).kbCommand(),
  status: async () => (await import("./status.ts")).statusCommand(),
  doctor: async () => (await import("./doctor.ts")).doctorCommand(),
  cache: async () => (await import("./cache.ts")).cacheCommand(),
  level: async () => (await import("./level.ts")).levelCommand(),
  sessions: async () => (await import("./sessions.ts")).sessionsCommand(),
  dead: async () => (await import("./dead.ts")).deadCommand(),
  keys: async () => (await import("./keys.ts")).keysCommand(),
  run: async () => (await import("./run.ts")).runCommand(),
  drain: async () => (await import("./drain.ts")).drainCommand(),
  autoscale: async () => (await import("./autoscale.ts")).autoscaleCommand(),
  provision: async () => (await import("./provision.ts")).provisionCommand(),
  route: async () => (await import("./route.ts")).routeCommand(),
  bench: async () => (await import("./bench.ts")).benchCommand(),
  demo: async () => (await import("./demo.ts")).demoCommand(),
  simulator: async () => (await import("./simulator.ts")).simulatorCommand(),
};

/** The command that is named, or every one for the help, and for what was meant by a name that is none. */
export async function program(name = ""): Promise<Command> {
  const root = new Command("jetclaw")
    .description("Chatbots as durable actors on NATS JetStream.")
    .version(versionOf(), "-v, --version", "print the version")
    .helpOption("-h, --help", "show this help")
    .showSuggestionAfterError()
    .addHelpText(
      "after",
      `
Examples:
  jetclaw up                                    everything in one process, with a demo shop
  jetclaw chat                                  talk to it in the terminal
  OPENAI_BASE_URL=http://gpu:8000/v1 jetclaw up  with your model
  jetclaw run gateway                           one role of a larger deployment

Settings come from jetclaw.config.ts and JETCLAW_* variables; ops/cli/README.md lists them.`,
    );
  const asked = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  const loaders = asked ? [asked] : Object.values(COMMANDS);
  const commands = await Promise.all(loaders.map((load) => load()));
  for (const command of commands) root.addCommand(command);
  helpful(root, "<command> ");
  for (const command of commands) {
    helpful(command, `${command.name()} `);
    for (const each of command.commands) helpful(each, `${command.name()} ${each.name()} `);
  }
  return root.hook("preAction", (_, command) => refuseEmpty(command));
}

/** What is typed wrongly names the way to the help of its command. */
const helpful = (command: Command, path: string): void =>
  void command.exitOverride().showHelpAfterError(`(jetclaw ${path}--help shows what it takes)`);

/**
 * What a script leaves empty is mostly a variable that was not set: `dead rm --all --tenant "$TENANT"` would drop the letters
 * of everybody.
 */
function refuseEmpty(command: Command): void {
  const isEmpty = (value: unknown): boolean => value === "" || (Array.isArray(value) && value.includes(""));
  const named = command.options
    .filter(({ defaultValue }) => defaultValue !== "")
    .filter((option) => isEmpty(command.getOptionValue(option.attributeName())))
    .map(({ long }) => long);
  const placed = command.registeredArguments
    .filter((_, n) => isEmpty(command.processedArgs[n]))
    .map((argument) => `<${argument.name()}>`);
  const [first] = [...named, ...placed];
  if (first) throw usage(`${first} is empty`, "Is a variable not set? Give it a value, or leave it out.");
}

/** Runs a command and leaves its exit code in the process; the process ends when nothing holds it any more. */
export async function main(argv: readonly string[]): Promise<void> {
  // A reader that went away (`| head`) is no error of ours.
  process.stdout.on("error", (error: NodeJS.ErrnoException) =>
    process.exit(error.code === "EPIPE" ? EXIT.ok : EXIT.failed),
  );
  // Who reads our remarks no longer misses them, and nothing else: a process that serves goes on, and still drains.
  process.stderr.on("error", () => {});
  try {
    if (argv.length === 0) {
      (await program()).outputHelp();
      return;
    }
    await (await program(argv[0])).parseAsync(argv, { from: "user" });
  } catch (error) {
    if (isCancelled()) return;
    process.exitCode = reportFailure(error);
    // What a failed start left open must not keep a process that said it refuses.
    setTimeout(() => process.exit(), END_LIMIT_MS).unref();
  }
}

/** From the sources package.json is two folders up, from dist/ three. */
function versionOf(): string {
  for (const path of ["../../package.json", "../../../package.json"]) {
    try {
      return (JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8")) as { version: string })
        .version;
    } catch {
      // Not here: the next one.
    }
  }
  return "unknown";
}
