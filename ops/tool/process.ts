// Runs the programs behind the tools: found in this clone's node_modules, started with this Node, without input,
// ended together with us and at the latest at their limit.
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export interface RunOptions {
  /** `show` passes the output on, `keep` returns it. */
  readonly output: "show" | "keep";
  readonly limitMs: number;
  readonly env?: Readonly<Record<string, string>>;
}

export interface RunResult {
  readonly code: number;
  readonly output: string;
}

const KILL_AFTER_MS = 5_000;
const running = new Set<ChildProcess>();

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const onSignal = (signal: NodeJS.Signals): void => {
  for (const child of running) child.kill(signal);
  // What does not end by itself must not keep a cancelled tool alive.
  setTimeout(() => {
    for (const child of running) child.kill("SIGKILL");
    process.exit(1);
  }, KILL_AFTER_MS).unref();
};

/** Signals are ours only while a program runs: `jetclaw up` builds the pages by this file and drains on a signal. */
function hold(child: ChildProcess): () => void {
  if (running.size === 0) for (const signal of SIGNALS) process.on(signal, onSignal);
  running.add(child);
  return () => {
    running.delete(child);
    if (running.size === 0) for (const signal of SIGNALS) process.off(signal, onSignal);
  };
}

export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** The script behind a command of node_modules/.bin, so that it runs with this Node and not with the PATH's. */
export function scriptOf(name: string, command = name): string {
  const folder = join(ROOT, "node_modules", name);
  const { bin } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as {
    bin: string | Record<string, string>;
  };
  const file = typeof bin === "string" ? bin : bin[command];
  if (file === undefined) throw new Error(`${name} has no command ${command}`);
  return join(folder, file);
}

export function runNode(args: readonly string[], options: RunOptions): Promise<RunResult> {
  return run(process.execPath, args, options);
}

export function run(command: string, args: readonly string[], options: RunOptions): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const show = options.output === "show";
    // This Node comes first on the PATH, for the scripts that start `node` themselves.
    const path = `${dirname(process.execPath)}:${process.env.PATH ?? ""}`;
    const child = spawn(command, args, {
      cwd: ROOT,
      env: { ...process.env, PATH: path, ...options.env },
      // What is shown goes to stderr as well: `npm pack --json` runs a tool and reads its own stdout.
      stdio: show ? ["ignore", 2, 2] : ["ignore", "pipe", "pipe"],
    });
    const release = hold(child);
    const timer = setTimeout(() => {
      say(`${command} ${args.join(" ")} took longer than ${options.limitMs / 1_000} s and is ended.`);
      child.kill("SIGTERM");
      setTimeout(() => child.kill("SIGKILL"), KILL_AFTER_MS).unref();
    }, options.limitMs);
    let output = "";
    child.stdout?.on("data", (data: Buffer) => {
      output += data.toString("utf8");
    });
    child.stderr?.on("data", (data: Buffer) => {
      output += data.toString("utf8");
    });
    const settle = () => {
      clearTimeout(timer);
      release();
    };
    child.on("error", (error) => {
      settle();
      reject(error);
    });
    child.on("close", (code) => {
      settle();
      resolve({ code: code ?? 1, output });
    });
  });
}

export async function demand(what: string, work: Promise<RunResult>): Promise<void> {
  const { code, output } = await work;
  if (code !== 0) throw new Error(`${output.trim()}\n${what} failed.`.trim());
}
