/** Processes of one command line, as many as are wanted: started, started again when they end, ended in good order. */
import { type ChildProcess, spawn } from "node:child_process";
import type { Log } from "#runtime/observe/log.ts";

export interface FleetOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly log: Log;
  /** What an ending process may take after SIGTERM before it is killed. */
  readonly graceMs: number;
}

/** A process that ends by itself is replaced after this time, doubled with each one in a row, up to the limit. */
const RESTART_MS = 500;
const RESTART_MOST_MS = 30_000;
/** A process that lived this long was fine: the next replacement is quick again. */
const FINE_MS = 30_000;

export class Fleet {
  readonly #options: FleetOptions;
  readonly #serving = new Set<ChildProcess>();
  /** Everything that runs, with its end. */
  readonly #running = new Map<ChildProcess, Promise<void>>();
  #wanted = 0;
  #failures = 0;
  #waitMs = 0;
  #restart: NodeJS.Timeout | undefined;
  readonly #endAll = (): void => {
    for (const child of this.#running.keys()) child.kill("SIGKILL");
  };

  constructor(options: FleetOptions) {
    this.#options = options;
    // The last resort, when this process ends without `stop`: nobody would count what is left.
    process.on("exit", this.#endAll);
  }

  /** Processes that serve; those that are ending do not count. */
  get size(): number {
    return this.#serving.size;
  }

  /** Process ids of those that serve, the oldest first. */
  get pids(): number[] {
    return [...this.#serving].flatMap(({ pid }) => pid ?? []);
  }

  /** The newest end first: the oldest have the warmest caches. */
  scaleTo(wanted: number): void {
    this.#wanted = wanted;
    clearTimeout(this.#restart);
    this.#restart = undefined;
    while (this.#serving.size < wanted) this.#start();
    for (const child of [...this.#serving].slice(wanted).reverse()) void this.#end(child);
  }

  /** Ends all of them; resolves when none is left. */
  async stop(): Promise<void> {
    this.scaleTo(0);
    await Promise.all(this.#running.values());
    process.off("exit", this.#endAll);
  }

  #start(): void {
    const startedAt = Date.now();
    const { command, args, log } = this.#options;
    // A group of its own: Ctrl-C in the terminal reaches us alone, and we end them one way only. In a clone a child learns
    // over the channel that we were killed (supervise.js) and drains; elsewhere it goes on working until it is told.
    const child = spawn(command, args, { stdio: ["ignore", "inherit", "inherit", "ipc"], detached: true });
    child.channel?.unref();
    this.#serving.add(child);
    const ended = new Promise<void>((resolve) => {
      child.once("error", (err) => {
        log.error({ err }, "worker not started");
        resolve();
      });
      child.once("exit", () => resolve());
    });
    this.#running.set(
      child,
      ended.then(() => this.#gone(child, startedAt)),
    );
  }

  #gone(child: ChildProcess, startedAt: number): void {
    this.#running.delete(child);
    if (!this.#serving.delete(child)) return;
    // What ends together with others is replaced with them, and is no failure of its own.
    if (!this.#restart) {
      this.#failures = Date.now() - startedAt > FINE_MS ? 0 : this.#failures + 1;
      this.#waitMs = Math.min(RESTART_MS * 2 ** this.#failures, RESTART_MOST_MS);
      this.#restart = setTimeout(() => this.scaleTo(this.#wanted), this.#waitMs);
    }
    const { pid, exitCode, signalCode } = child;
    this.#options.log.warn(
      { pid, exitCode, signalCode, waitMs: this.#waitMs },
      "worker ended, starting another one",
    );
  }

  async #end(child: ChildProcess): Promise<void> {
    this.#serving.delete(child);
    child.kill("SIGTERM");
    const limit = setTimeout(() => child.kill("SIGKILL"), this.#options.graceMs);
    await this.#running.get(child);
    clearTimeout(limit);
  }
}
