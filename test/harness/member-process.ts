// One member of a cluster as the harness holds it: a Node process of its own that can be told to die, freeze or wait at
// a step, and signalled from outside at any moment.
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describeProcess } from "#runtime/nats/server/processes.ts";
import type { Arm, MemberConfig, MemberRole, Order, Report } from "./orders.ts";
import { endWithUs } from "./reaping.ts";
import { waitUntil, within } from "./wait.ts";

const ENTRY = fileURLToPath(new URL("member.ts", import.meta.url));
const START_LIMIT_MS = 180_000;
const STOP_LIMIT_MS = 60_000;

export class Member {
  readonly pid: number;
  /** How the process ended; resolves when it has. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  readonly #child: ChildProcess;
  readonly #reports: Report[] = [];
  #config: MemberConfig | undefined;
  #armed: Arm | undefined;
  #frozen = false;
  /** The harness ended it itself, so its death is no hit of an armed step. */
  #signalled = false;
  #hit = false;
  #ready = false;
  #unready: string | undefined;

  private constructor(child: ChildProcess, pid: number) {
    this.#child = child;
    this.pid = pid;
    const spare = endWithUs(pid);
    this.ended = new Promise((resolve) =>
      child.once("exit", (code, signal) => {
        spare();
        if (this.#armed?.action === "die" && signal === "SIGKILL" && !this.#signalled) this.#hit = true;
        resolve({ code, signal });
      }),
    );
    child.on("message", (report: Report) => {
      this.#reports.push(report);
      if (report.is === "ready") this.#ready = true;
      if (report.is === "readiness") this.#unready = report.unready;
      if (report.is !== "at") return;
      this.#hit = true;
      this.#frozen = this.#armed?.action === "freeze";
    });
    // A channel that breaks while an order is on its way is a member that died, which `ended` tells.
    child.on("error", () => {});
  }

  /** Spawns the process and lets it load its modules; it joins nothing yet. */
  static spawn(logFile: string): Member {
    const log = openSync(logFile, "a");
    const child = spawn(
      process.execPath,
      ["--conditions=jetclaw-src", "--disable-warning=ExperimentalWarning", ENTRY],
      {
        stdio: ["ignore", log, log, "ipc"],
        env: { ...process.env, NODE_OPTIONS: "" },
      },
    );
    closeSync(log);
    if (child.pid === undefined) throw new Error(`${process.execPath} cannot be started`);
    return new Member(child, child.pid);
  }

  get instance(): string {
    return this.#config?.instance ?? "spare";
  }
  get role(): MemberRole | undefined {
    return this.#config?.role;
  }
  /** It has joined and took work; whether it still lives is another question. */
  get joined(): boolean {
    return this.#ready;
  }
  /** Why it takes no work, as it says itself; undefined while it does. */
  get unready(): string | undefined {
    return this.#unready;
  }
  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }
  get frozen(): boolean {
    return this.#frozen;
  }
  /** The armed step was reached: the member died, froze or waits there. */
  get hit(): boolean {
    return this.#hit;
  }
  /** Why it could not take its role. */
  get failure(): string | undefined {
    const ended = !this.running && !this.#ready && !this.#hit && !this.#signalled;
    return (
      this.#reports.find((r) => r.is === "failed")?.error ??
      (ended ? "the process ended before it was ready" : undefined)
    );
  }
  get armed(): Arm | undefined {
    return this.#armed;
  }

  /** Joins the cluster in its role. Does not wait; `ready` does. */
  join(config: MemberConfig): void {
    this.#config = config;
    this.#armed = config.arm;
    this.#order({ do: "start", config });
  }

  /** Resolves when the role takes work; a member that was armed may die before. */
  async ready(): Promise<void> {
    await waitUntil(
      () => {
        if (this.failure) throw new Error(`${this.instance} did not start: ${this.failure}`);
        return this.#hit || this.#ready || !this.running;
      },
      { timeoutMs: START_LIMIT_MS, what: `${this.instance} to be ready` },
    );
  }

  arm(arm: Arm): void {
    this.#armed = arm;
    this.#hit = false;
    this.#order({ do: "arm", arm });
  }

  disarm(): void {
    this.#armed = undefined;
    this.#order({ do: "arm", arm: undefined });
  }

  /** Lets a member go on that waits at a step. */
  resume(): void {
    this.#order({ do: "resume" });
  }

  /** SIGTERM: drains and ends. False when it took too long and was killed. */
  async stop(): Promise<boolean> {
    this.#signal("SIGTERM");
    if (this.#frozen) this.thaw();
    if (await within(this.ended, STOP_LIMIT_MS)) return true;
    await this.kill();
    return false;
  }

  async kill(): Promise<void> {
    this.#signal("SIGKILL");
    await this.ended;
  }

  /** SIGSTOP; resolves when the process stands still. */
  async freeze(): Promise<void> {
    this.#frozen = true;
    process.kill(this.pid, "SIGSTOP");
    await this.stoodStill();
  }

  /** Resolves when the process stands still, by whatever signal. */
  async stoodStill(): Promise<void> {
    await waitUntil(async () => !this.running || (await isStopped(this.pid)), {
      what: `${this.instance} to stand still`,
    });
  }

  thaw(): void {
    this.#frozen = false;
    if (this.running) process.kill(this.pid, "SIGCONT");
  }

  #signal(signal: NodeJS.Signals): void {
    if (!this.running) return;
    this.#signalled = true;
    process.kill(this.pid, signal);
  }

  #order(order: Order): void {
    if (this.running && this.#child.connected) this.#child.send(order, () => {});
  }
}

/** Whether a process is stopped by a signal, as the kernel tells it. */
async function isStopped(pid: number): Promise<boolean> {
  const { readFile } = await import("node:fs/promises");
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  // Where there is no /proc the signal is all that is known; a process that is gone stands still for good.
  if (stat === undefined) return (await describeProcess(pid)) === null || process.platform !== "linux";
  return stat.slice(stat.lastIndexOf(")") + 2).startsWith("T");
}
