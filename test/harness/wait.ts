// Waiting for a condition, never for a time to pass. A condition is asked again and again, because most of what a
// cluster test waits for (a process state, a stream's length) has no event; a failure says what was waited for.
const POLL_MS = 20;
/** Tells what hangs from what works: what takes a moment on a quiet machine takes many on one that is shared. */
export const PATIENCE_MS = 60_000;
/** How many times as long as on a quiet machine a turn of a test waits for what it can do without. */
export const SLOW_MACHINE = 50;

export interface WaitOptions {
  /** For what takes longer by design than the patience of every wait. */
  readonly timeoutMs?: number;
  /** Finishes the sentence "waited for ...". */
  readonly what: string;
  readonly pollMs?: number;
}

/** Resolves with the first value of `condition` that is neither false nor undefined. */
export async function waitUntil<T>(
  condition: () => T | Promise<T>,
  options: WaitOptions,
): Promise<Exclude<T, false | undefined>> {
  const { timeoutMs = PATIENCE_MS, pollMs = POLL_MS } = options;
  const startedAt = Date.now();
  for (;;) {
    const value = await condition();
    if (value !== false && value !== undefined) return value as Exclude<T, false | undefined>;
    if (Date.now() - startedAt > timeoutMs) throw new Error(`waited ${timeoutMs} ms for ${options.what}`);
    await pause(pollMs);
  }
}

/** Whether something came within a time; the timer does not keep the process alive. */
export async function within<T>(work: Promise<T>, timeoutMs: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** For pacing load and faults, and for nothing else: an assertion never rests on it. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
