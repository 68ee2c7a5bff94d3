/** Long work that gives everything else in this process its turn. */

/**
 * Runs steps one after the other, so many milliseconds at a time. @returns undefined where they were done within the
 * first slice, else when they are; a step that throws ends them
 */
export function inSlices(
  steps: Iterator<unknown, unknown, undefined>,
  sliceMs: number,
): Promise<void> | undefined {
  return slice(steps, sliceMs) ? undefined : goOn(steps, sliceMs);
}

/** @returns whether it was the last one */
function slice(steps: Iterator<unknown, unknown, undefined>, sliceMs: number): boolean {
  const until = performance.now() + sliceMs;
  while (!steps.next().done) if (performance.now() >= until) return false;
  return true;
}

async function goOn(steps: Iterator<unknown, unknown, undefined>, sliceMs: number): Promise<void> {
  do await new Promise((next) => setImmediate(next));
  while (!slice(steps, sliceMs));
}
