// Runs another program to its end with a limit, no input and its last words kept for the error.
import { spawn } from "node:child_process";

export type Log = (line: string) => void;

export interface Outcome {
  readonly code: number;
  readonly output: string;
}

export interface ExecuteOptions {
  readonly limitMs: number;
  readonly cwd?: string;
  /** Names a long step: a line appears every ten seconds while it runs. */
  readonly progress?: { readonly log: Log; readonly what: string };
}

const PROGRESS_MS = 10_000;

export function execute(command: string, args: readonly string[], options: ExecuteOptions): Promise<Outcome> {
  return new Promise((resolve) => {
    const { limitMs, cwd, progress } = options;
    const startedAt = Date.now();
    const child = spawn(command, args, { cwd, stdio: ["ignore", "pipe", "pipe"], timeout: limitMs });
    let output = "";
    const collect = (data: Buffer) => {
      output = (output + data.toString("utf8")).slice(-65_536);
    };
    const timer = setInterval(() => {
      progress?.log(`nats-server: ${progress.what}, ${Math.round((Date.now() - startedAt) / 1_000)} s`);
    }, PROGRESS_MS);
    const finish = (code: number, text: string) => {
      clearInterval(timer);
      resolve({ code, output: text });
    };
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    child.on("error", (error) => finish(127, error.message));
    child.on("close", (code) =>
      finish(code ?? 1, code === null ? `${output}\nended after ${limitMs / 1_000} s` : output),
    );
  });
}

/** Like execute, but a failure is an error that carries the program's last line. */
export async function demand(
  command: string,
  args: readonly string[],
  options: ExecuteOptions,
): Promise<string> {
  const { code, output } = await execute(command, args, options);
  if (code === 0) return output;
  const lastLine = output.trim().split("\n").at(-1) ?? "";
  throw new Error(`${command} failed: ${lastLine}`);
}

export async function findProgram(name: string): Promise<string | null> {
  const [command, args] =
    process.platform === "win32" ? ["where", [name]] : ["sh", ["-c", `command -v ${name}`]];
  const { code, output } = await execute(command, args, { limitMs: 5_000 });
  const path = output.trim().split("\n")[0];
  return code === 0 && path ? path.trim() : null;
}
