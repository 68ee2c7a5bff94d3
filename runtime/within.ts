/** Waits that end. */

/** Undefined when the promise takes longer than `ms`; its own failure passes through. */
export async function within<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, Math.max(0, ms), undefined);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** After a standstill timers come first: resolves when what arrived meanwhile was read, so that nobody is missed for it. */
export const arrived = (): Promise<void> =>
  new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

let stretch = 1;

/**
 * How long a turn waits for what it can do without: a cache, a vector, a search elsewhere. Who is later is not waited for,
 * and the turn is answered all the same.
 */
export const patience = (ms: number): number => ms * stretch;

/**
 * Called by the test harness; never by the product. Tests of what is found and served are no tests of how fast a machine is
 * that is busy with other things.
 */
export function stretchPatience(by: number): void {
  stretch = by;
}
