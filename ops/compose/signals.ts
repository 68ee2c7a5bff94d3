/** What signals and stray errors mean to a process that serves: drain once, end at once when asked again. */
import { flushCompileCache } from "node:module";
import { constants } from "node:os";
import { LIMITS } from "#contracts/limits.ts";
import type { Log } from "#runtime/observe/log.ts";

/** Closing what is drained: connections, telemetry, an embedded server. */
const CLOSE_LIMIT_MS = 5_000;
/** After an error that nobody caught the state is unknown, so no drain: what is acknowledged is stored. */
const CRASH_LIMIT_MS = 2_000;

export interface Ending {
  /** Drains and closes; called once. */
  readonly stop: () => Promise<void>;
  /** Resolves when an operator asks for the same as a SIGTERM. */
  readonly drainAsked?: Promise<void>;
  /** Closes what would outlive the process. */
  readonly abandon: () => Promise<void>;
  readonly log: Log;
  readonly say: (line: string) => void;
}

/**
 * While a process starts there is nothing to drain: a signal ends it at once, and what it has started with it. Without a
 * listener it would leave that behind, and a container's first process would not hear it at all. @returns what ends it
 */
export function endWhileStarting(): () => void {
  const end = (signal: NodeJS.Signals): void => process.exit(128 + constants.signals[signal]);
  for (const signal of SIGNALS) process.on(signal, end);
  return () => {
    for (const signal of SIGNALS) process.off(signal, end);
  };
}

const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

/** Never resolves: the process ends here, with 0 after a drain. */
export function serveUntilSignalled({ stop, drainAsked, abandon, log, say }: Ending): Promise<never> {
  let ending = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (ending) process.exit(1);
    ending = true;
    say(
      signal === "SIGINT"
        ? "Stopping: finishing what is held. Ctrl-C again ends at once."
        : "Stopping: finishing what is held.",
    );
    const limit = setTimeout(() => {
      log.warn("not drained in time; what is left goes on at the next start");
      process.exit(0);
    }, LIMITS.drainMs + CLOSE_LIMIT_MS);
    stop().then(
      () => {
        clearTimeout(limit);
        process.exit(0);
      },
      (err: unknown) => {
        log.error({ err }, "stop failed");
        process.exit(1);
      },
    );
  };
  const onStray = (err: unknown): void => {
    log.fatal({ err }, "an error that nobody caught, ending");
    setTimeout(() => process.exit(1), CRASH_LIMIT_MS);
    abandon().finally(() => process.exit(1));
  };
  void drainAsked?.then(() => onSignal("SIGTERM"));
  for (const signal of SIGNALS) process.on(signal, onSignal);
  process.on("uncaughtException", onStray);
  process.on("unhandledRejection", onStray);
  // Node writes down what it has compiled when it ends, and who is killed does not come to it.
  flushCompileCache();
  return new Promise(() => {});
}
