/** Ctrl-C and SIGTERM of commands that start processes of their own. */
import { cancel } from "../bench/cleanup.ts";
import { EXIT } from "./failure.ts";
import { note } from "./print.ts";

/** `end` ends what was started; then the command ends. */
export function cancelOnSignal(end: () => Promise<void>): void {
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => {
      cancel();
      // Whoever measures meanwhile finds its processes gone.
      process.on("unhandledRejection", () => {});
      note("Cancelled: ending what was started.");
      void end().finally(() => process.exit(EXIT.failed));
    });
}
