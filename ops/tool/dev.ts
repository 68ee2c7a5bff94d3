// `up`, started again whenever a source file that it imports changes.
import { join } from "node:path";
import { ROOT, runNode, say } from "./process.ts";

/** Node's timers take no longer time than this; a day at the keyboard is shorter. */
const LIMIT_MS = 2_147_483_647;

export async function dev(args: string[]): Promise<void> {
  say("Starting everything; it starts again when a source file changes. Ctrl-C ends it.");
  const command = ["--watch", "--watch-preserve-output", ...process.execArgv, join(ROOT, "ops/bin.js"), "up"];
  const { code } = await runNode([...command, ...args], { output: "show", limitMs: LIMIT_MS });
  process.exitCode = code;
}
