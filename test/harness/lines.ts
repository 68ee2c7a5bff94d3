// All lines of a cluster as the harness holds them: named, each with the fault that is set on it.
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { LineCounts, LineFault, LineOptions } from "./line.ts";
import { endWithUs } from "./reaping.ts";

type Deed =
  | { readonly do: "open"; readonly lines: readonly LineOptions[]; readonly seed: number }
  | { readonly do: "set"; readonly names: readonly string[]; readonly fault: LineFault }
  | { readonly do: "sever"; readonly names: readonly string[] }
  | { readonly do: "count" };
export interface LineOrder {
  readonly id: number;
  readonly order: Deed;
}
export interface LineReply {
  /** Of the order; 0 says that the process is there. */
  readonly id: number;
  readonly error?: string;
  readonly counts?: Readonly<Record<string, LineCounts>> | undefined;
}

const ENTRY = fileURLToPath(new URL("lines-process.ts", import.meta.url));

export class Lines {
  readonly #child: ChildProcess;
  readonly #open = new Map<number, (reply: LineReply) => void>();
  #last = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on("message", (reply: LineReply) => {
      this.#open.get(reply.id)?.(reply);
      this.#open.delete(reply.id);
    });
    child.on("exit", () => {
      for (const [id, done] of this.#open) done({ id, error: "the process of the lines has ended" });
    });
  }

  /** Starts the process; resolves when every line listens. */
  static async open(lines: readonly LineOptions[], seed: number): Promise<Lines> {
    const child = spawn(
      process.execPath,
      ["--conditions=jetclaw-src", "--disable-warning=ExperimentalWarning", ENTRY],
      { stdio: ["ignore", "ignore", "inherit", "ipc"], env: { ...process.env, NODE_OPTIONS: "" } },
    );
    if (child.pid === undefined) throw new Error(`${process.execPath} cannot be started`);
    const spare = endWithUs(child.pid);
    child.once("exit", spare);
    const opened = new Lines(child);
    await new Promise<void>((resolve) => opened.#open.set(0, () => resolve()));
    await opened.#tell({ do: "open", lines, seed });
    return opened;
  }

  /** Replaces the fault of the lines named; `{}` heals them. */
  async set(names: readonly string[], fault: LineFault): Promise<void> {
    await this.#tell({ do: "set", names, fault });
  }

  /** Breaks the connections that stand on the lines named. */
  async sever(names: readonly string[]): Promise<void> {
    await this.#tell({ do: "sever", names });
  }

  async counts(): Promise<Readonly<Record<string, LineCounts>>> {
    return (await this.#tell({ do: "count" })).counts ?? {};
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGKILL");
    await ended;
  }

  async #tell(order: Deed): Promise<LineReply> {
    const id = ++this.#last;
    const reply = await new Promise<LineReply>((resolve) => {
      this.#open.set(id, resolve);
      this.#child.send({ id, order } satisfies LineOrder);
    });
    if (reply.error) throw new Error(reply.error);
    return reply;
  }
}
