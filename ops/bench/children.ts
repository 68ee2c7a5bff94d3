/** Processes of a side: started with their task, asked for their CPU time, stopped. */
import { type ChildProcess, fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import type { ChildTask, FromChild, ToChild } from "./child.ts";
import { type Cleanup, isCancelled } from "./cleanup.ts";

export interface Usage {
  readonly cpuMs: number;
  readonly rssMb: number;
}

export interface Child {
  readonly pid: number;
  usage(): Promise<Usage>;
  /** Heap and buffers after a full collection, which takes the process a fifth of a second. */
  heapMb(): Promise<number>;
  stop(): Promise<void>;
  /** At once and without a word, as power cuts and the kernel do it. */
  kill(): void;
}

const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 20_000;

/** Resolves when all of them take work; each is known to the cleanup from its start. */
export function startChildren(tasks: readonly ChildTask[], cleanup: Cleanup): Promise<Child[]> {
  return Promise.all(tasks.map((task) => startChild(task, cleanup)));
}

/** Resolves when the process takes work. */
export async function startChild(task: ChildTask, cleanup?: Cleanup): Promise<Child> {
  // The same file as TypeScript in a clone and as JavaScript in the package.
  const entry = fileURLToPath(new URL(`./child${extname(import.meta.filename)}`, import.meta.url));
  const child = fork(entry, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  cleanup?.add(() => stop(child));
  await answer(child, "ready", { do: "start", task }, START_LIMIT_MS);
  return {
    pid: child.pid ?? 0,
    kill: () => void child.kill("SIGKILL"),
    usage: async () => (await answer(child, "usage", { do: "usage" }, START_LIMIT_MS)).usage,
    heapMb: async () => (await answer(child, "heap", { do: "heap" }, START_LIMIT_MS)).heapMb,
    stop: () => stop(child),
  };
}

function answer<Kind extends FromChild["is"]>(
  child: ChildProcess,
  kind: Kind,
  message: ToChild,
  limitMs: number,
): Promise<Extract<FromChild, { is: Kind }>> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      clearTimeout(timer);
      child.off("message", onMessage);
      child.off("exit", onExit);
    };
    const onMessage = (received: FromChild): void => {
      if (received.is === "failed") {
        settle();
        reject(new Error(`a process of the benchmark failed: ${received.reason}`));
      } else if (received.is === kind) {
        settle();
        resolve(received as Extract<FromChild, { is: Kind }>);
      }
    };
    const onExit = (code: number | null): void => {
      settle();
      reject(new Error(`a process of the benchmark ended (${code})`));
    };
    const timer = setTimeout(() => {
      settle();
      reject(new Error(`a process of the benchmark did not answer within ${limitMs} ms`));
    }, limitMs);
    child.on("message", onMessage);
    child.on("exit", onExit);
    // Without a callback a process that is gone would end this one.
    child.send(message, (error) => {
      if (!error) return;
      settle();
      reject(error);
    });
  });
}

function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_LIMIT_MS);
    child.once("exit", () => {
      clearTimeout(timer);
      resolve();
    });
    if (isCancelled()) child.kill("SIGKILL");
    else child.send({ do: "stop" } satisfies ToChild, (error) => void (error && child.kill("SIGKILL")));
  });
}

/** Resident memory of a process; 0 elsewhere than on Linux. */
export function rssMbOfProcess(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1_024;
  } catch {
    return 0;
  }
}

/** Bytes that a process gave the file system to write so far; 0 elsewhere than on Linux. Source: proc(5). */
export function writtenBytesOfProcess(pid: number): number {
  try {
    return Number(/^write_bytes: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, "utf8"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** Linux counts in hundredths of a second; undefined elsewhere. Source: proc(5), fields 14 and 15. */
export function cpuMsOfProcess(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) * 10;
  } catch {
    return undefined;
  }
}
