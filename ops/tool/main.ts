// The tools behind package.json's scripts. They exist in a clone alone.
import { say } from "./process.ts";

type Tool = (args: string[]) => Promise<void>;

/** Loaded when asked for, so that one tool does not wait for what another one imports. */
const TOOLS: Readonly<Record<string, () => Promise<Tool>>> = {
  dev: async () => (await import("./dev.ts")).dev,
  check: async () => (await import("./check.ts")).check,
  test: async () => (await import("./test.ts")).test,
  fault: async () => (await import("./test.ts")).fault,
  e2e: async () => (await import("./test.ts")).e2e,
  build: async () => (await import("./build.ts")).build,
  release: async () => (await import("./release.ts")).release,
};

export async function main([name = "", ...args]: string[]): Promise<void> {
  const load = Object.hasOwn(TOOLS, name) ? TOOLS[name] : undefined;
  if (load === undefined) {
    say(`There is no tool "${name}". The tools are: ${Object.keys(TOOLS).join(", ")}.`);
    process.exit(2);
  }
  try {
    const tool = await load();
    await tool(args);
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}
