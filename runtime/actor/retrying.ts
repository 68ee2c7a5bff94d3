/** Going on while NATS does not answer: what has been promised is done when it is back, or never by this host. */
import { JetclawError } from "#contracts/errors.ts";
import { systemClock } from "../clock.ts";
import type { Log } from "../observe/log.ts";

const FIRST_WAIT_MS = 50;
const LONGEST_WAIT_MS = 2_000;

/** Repeats `work` with growing, jittered waits while it fails for want of NATS. Other errors pass through. */
export async function retrying<T>(
  log: Log,
  signal: AbortSignal,
  what: string,
  work: () => Promise<T>,
): Promise<T> {
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(LONGEST_WAIT_MS, waitMs * 2)) {
    signal.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof JetclawError) || error.code !== "nats.unavailable") throw error;
      log.warn({ err: error, what }, "NATS does not answer, trying again");
      await systemClock.sleep(waitMs * (0.5 + Math.random()), signal);
    }
  }
}
