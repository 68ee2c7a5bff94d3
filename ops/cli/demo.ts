/** `jetclaw demo failover`: a worker dies in mid-answer, before your eyes. */
import { Command } from "commander";
import type { FailoverOutcome } from "../demo/failover.ts";
import { readSettings } from "../settings.ts";
import { cancelOnSignal } from "./cancel.ts";
import { EXIT } from "./failure.ts";
import { note, print, printJson } from "./print.ts";

export function demoCommand(): Command {
  return new Command("demo")
    .description("see for yourself what the runtime does when something breaks")
    .addHelpText("after", "\nExamples:\n  jetclaw demo failover")
    .addCommand(failoverCommand());
}

function failoverCommand(): Command {
  return new Command("failover")
    .description("kill the worker that streams an answer, and see the answer come all the same")
    .option("--json", "print what happened as JSON, without the show")
    .addHelpText(
      "after",
      "\nA deployment of its own on free ports, gone afterwards; about 20 seconds.\n\nExamples:\n  jetclaw demo failover\n  jetclaw demo failover --json",
    )
    .action(async ({ json }: { readonly json?: boolean }) => {
      const settings = readSettings();
      const [{ ensureNatsServer }, { demoFailover }, { endAll }] = await Promise.all([
        import("#runtime/nats/server.ts"),
        import("../demo/failover.ts"),
        import("../bench/cleanup.ts"),
      ]);
      cancelOnSignal(endAll);
      const { natsServerBin: given, cacheDir } = settings;
      const outcome = await demoFailover({
        settings,
        natsBin: await ensureNatsServer({ log: note, given, cacheDir }),
        seed: 1,
        say: json ? () => {} : print,
        show: json ? () => {} : (text) => void process.stdout.write(text),
      });
      if (json) printJson(outcome);
      else print(storyOf(outcome));
      // All is ended; what is left are timers of roles that ended early, such as the grace of a drain.
      process.exit(EXIT.ok);
    });
}

const storyOf = (outcome: FailoverOutcome): string =>
  [
    "",
    "",
    "What happened",
    `  The worker ${outcome.killed.pid} was killed ${seconds(outcome.killed.afterMs)} after the question, with ${outcome.killed.charactersShown} characters of its answer shown.`,
    "  Its job was still in the queue: a job leaves it only after its result is stored.",
    `  When nobody had said for 3 s that it was being worked on, the worker ${outcome.answeredBy} got it as its next attempt.`,
    `  The restart came after ${seconds(outcome.restartAfterMs)}, the whole answer after ${seconds(outcome.answeredAfterMs)}, on the same connection.`,
    `  Turns stored: ${outcome.turnsStored}. The stored reply ${outcome.replaced ? "is the second answer, whole" : "differs from what was shown"}.`,
  ].join("\n");

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;
