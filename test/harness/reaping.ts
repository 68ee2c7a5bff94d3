// Ends what a test started, by pid, when this process ends in whatever way it can notice: normal exit, a failed test,
// an uncaught error, Ctrl-C. Only a SIGKILL of the harness itself goes unnoticed; members watch for that themselves.
const ours = new Set<number>();
let watching = false;

/** From now on `pid` does not outlive us. Returns the function that lets go of it, to be called once it has ended. */
export function endWithUs(pid: number): () => void {
  ours.add(pid);
  watch();
  return () => void ours.delete(pid);
}

export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function watch(): void {
  if (watching) return;
  watching = true;
  process.on("exit", endAll);
  // With a listener the default end does not happen any more, so we end ourselves, by the conventional code.
  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)
    process.once(signal, () => {
      endAll();
      process.exit(code);
    });
}

function endAll(): void {
  for (const pid of ours) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It ended by itself, which is what was wanted.
    }
  }
  ours.clear();
}
