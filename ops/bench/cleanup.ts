/** What a side has started, ended in reverse: at its stop, when its start fails half-way, or when the run is cancelled. */
const running = new Set<Cleanup>();
let cancelled = false;

/** Nobody waits any more for what this process has begun: what it started is killed, and what fails now fails for that. */
export function cancel(): void {
  cancelled = true;
}

export const isCancelled = (): boolean => cancelled;

export class Cleanup {
  readonly #steps: (() => Promise<unknown>)[] = [];

  constructor() {
    running.add(this);
  }

  add(step: () => Promise<unknown>): void {
    this.#steps.push(step);
  }

  async run(): Promise<void> {
    running.delete(this);
    for (let step = this.#steps.pop(); step; step = this.#steps.pop()) await step().catch(() => {});
  }
}

/** Starts with a cleanup that runs when the start fails. */
export async function startCleanly<T>(start: (cleanup: Cleanup) => Promise<T>): Promise<T> {
  const cleanup = new Cleanup();
  try {
    return await start(cleanup);
  } catch (error) {
    await cleanup.run();
    throw error;
  }
}

/** Ends everything that runs, for a run that is cancelled. */
export async function endAll(): Promise<void> {
  await Promise.all([...running].map((cleanup) => cleanup.run()));
}
