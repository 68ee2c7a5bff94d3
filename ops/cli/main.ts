/** The command line: one file a command, one place where errors become lines and exit codes. */
import { readFileSync } from "node:fs";
import { enableCompileCache } from "node:module";
import { Command } from "commander";
import { autoscaleCommand } from "./autoscale.ts";
import { benchCommand } from "./bench.ts";
import { cacheCommand } from "./cache.ts";
import { chatCommand } from "./chat.ts";
import { deadCommand } from "./dead.ts";
import { demoCommand } from "./demo.ts";
import { doctorCommand } from "./doctor.ts";
import { drainCommand } from "./drain.ts";
import { EXIT, reportFailure } from "./failure.ts";
import { initCommand } from "./init.ts";
import { kbCommand } from "./kb.ts";
import { keysCommand } from "./keys.ts";
import { levelCommand } from "./level.ts";
import { provisionCommand } from "./provision.ts";
import { routeCommand } from "./route.ts";
import { runCommand } from "./run.ts";
import { sessionsCommand } from "./sessions.ts";
import { simulatorCommand } from "./simulator.ts";
import { statusCommand } from "./status.ts";
import { upCommand } from "./up.ts";

/** How long a command that failed may take to close what it opened. */
const END_LIMIT_MS = 1_000;

/** Every command, in the order in which someone new meets them. */
export function program(): Command {
  const root = new Command("jetclaw")
    .description("Chatbots as durable actors on NATS JetStream.")
    .version(versionOf(), "-v, --version", "print the version")
    .helpOption("-h, --help", "show this help")
    .showHelpAfterError("(jetclaw <command> --help shows what it takes)")
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
  const commands = [
    upCommand(),
    initCommand(),
    chatCommand(),
    kbCommand(),
    statusCommand(),
    doctorCommand(),
    cacheCommand(),
    levelCommand(),
    sessionsCommand(),
    deadCommand(),
    keysCommand(),
    runCommand(),
    drainCommand(),
    autoscaleCommand(),
    provisionCommand(),
    routeCommand(),
    benchCommand(),
    demoCommand(),
    simulatorCommand(),
  ];
  for (const command of commands) root.addCommand(command);
  for (const command of [root, ...commands, ...commands.flatMap((each) => each.commands)])
    command.exitOverride();
  return root;
}

/** Runs a command and leaves its exit code in the process; the process ends when nothing holds it any more. */
export async function main(argv: readonly string[]): Promise<void> {
  // Commands load what they need when they run, and the next start finds it compiled.
  enableCompileCache();
  // A reader that went away (`| head`) is no error of ours.
  process.stdout.on("error", (error: NodeJS.ErrnoException) =>
    process.exit(error.code === "EPIPE" ? EXIT.ok : EXIT.failed),
  );
  try {
    if (argv.length === 0) {
      program().outputHelp();
      return;
    }
    await program().parseAsync(argv, { from: "user" });
  } catch (error) {
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
