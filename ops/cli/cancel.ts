/** Ctrl-C, SIGTERM and the end of the terminal, for commands that start processes of their own. */
import { cancel } from "../bench/cleanup.ts";
import { EXIT } from "./failure.ts";
import { note } from "./print.ts";

/** `end` ends what was started; then the command ends. */
export function cancelOnSignal(end: () => Promise<void>): void {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.once(signal, () => {
      cancel();
      // Whoever measures meanwhile finds its processes gone.
      process.on("unhandledRejection", () => {});
      note("Cancelled: ending what was started.");
      void end().finally(() => process.exit(EXIT.failed));
    });
}
