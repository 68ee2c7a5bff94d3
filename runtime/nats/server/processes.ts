// Facts about processes of this machine and the careful ending of one. A pid alone proves nothing, because the
// system gives it out again: whoever acts on one compares the start time or the command line first.
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";

export interface ProcessFacts {
  /** Changes whenever the pid is given to another process; only good for comparing. */
  readonly startedAt: string;
  readonly command: string;
}

const POLL_MS = 50;
const FREEZE_LIMIT_MS = 1_000;

/** Null when no such process runs; a zombie has ended and does not run. */
export async function describeProcess(pid: number): Promise<ProcessFacts | null> {
  try {
    const [stat, command] = await Promise.all([
      readFile(`/proc/${pid}/stat`, "utf8"),
      readFile(`/proc/${pid}/cmdline`, "utf8"),
    ]);
    // The name in brackets may hold spaces and brackets itself, so counting starts after the last one.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (fields[0] === "Z" || fields[0] === "X") return null;
    return { startedAt: fields[19] ?? "", command: command.replaceAll("\0", " ") };
  } catch {
    return process.platform === "linux" ? null : askPs(pid);
  }
}

function askPs(pid: number): Promise<ProcessFacts | null> {
  return new Promise((resolve) => {
    execFile("ps", ["-ww", "-o", "stat=,lstart=,command=", "-p", String(pid)], (error, output) => {
      const found = /^(\S+)\s+(\S+\s+\S+\s+\d+\s+\S+\s+\d+)\s+(.*)$/s.exec(output.trim());
      if (error || found === null || found[1]?.startsWith("Z")) resolve(null);
      else resolve({ startedAt: found[2] ?? "", command: found[3] ?? "" });
    });
  });
}

export function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // It ended by itself in the meantime, which is what was wanted.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Resolves when the process is gone. It asks again and again, as a process that is not our child has no event. */
export async function waitForEnd(pid: number, limitMs: number, pollMs = POLL_MS): Promise<boolean> {
  const until = Date.now() + limitMs;
  while ((await describeProcess(pid)) !== null) {
    if (Date.now() > until) return false;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  return true;
}

/**
 * Stops a process and resolves when it stands still. The signal reaches one thread after the other, and until the
 * last one has it the process goes on answering: measured, every third time. Only Linux lets us look; elsewhere the
 * signal has to be enough.
 */
export async function freezeProcess(pid: number): Promise<void> {
  sendSignal(pid, "SIGSTOP");
  const until = Date.now() + FREEZE_LIMIT_MS;
  while (!(await allThreadsStopped(pid)) && Date.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

async function allThreadsStopped(pid: number): Promise<boolean> {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
  const stats = threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/stat`, "utf8").catch(() => ""));
  return (await Promise.all(stats)).every((stat) => stat === "" || /\) [TtZX] /.test(stat));
}

const boundToUs = new Set<number>();

/** A start that fails half-way exits without stopping what it started: then this does. Returns the release. */
export function endWithUs(pid: number): () => void {
  if (boundToUs.size === 0) process.on("exit", endBound);
  boundToUs.add(pid);
  return () => {
    boundToUs.delete(pid);
    if (boundToUs.size === 0) process.off("exit", endBound);
  };
}

function endBound(): void {
  for (const pid of boundToUs) {
    sendSignal(pid, "SIGTERM");
    sendSignal(pid, "SIGCONT");
  }
}

export async function endProcess(pid: number, graceMs: number): Promise<void> {
  sendSignal(pid, "SIGTERM");
  // A frozen process receives SIGTERM only when it runs again.
  sendSignal(pid, "SIGCONT");
  if (await waitForEnd(pid, graceMs)) return;
  sendSignal(pid, "SIGKILL");
  await waitForEnd(pid, 5_000);
}
