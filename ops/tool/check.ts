// Everything that can be said about the code without running a server, at once: on two cores the slowest part
// decides, not the sum.
import { type RunResult, runNode, say, scriptOf } from "./process.ts";

const LIMIT_MS = 120_000;

interface Part {
  readonly name: string;
  readonly command: readonly string[];
  readonly remedy: string;
}

export async function check(): Promise<void> {
  const parts: Part[] = [
    {
      name: "format and lint",
      command: [scriptOf("@biomejs/biome", "biome"), "check", "--error-on-warnings", "--max-diagnostics=40"],
      remedy: "npx biome check --write",
    },
    { name: "types", command: [scriptOf("typescript", "tsc"), "-p", "."], remedy: "see the lines above" },
    {
      name: "types of the pages",
      command: [scriptOf("typescript", "tsc"), "-p", "ops/ui"],
      remedy: "see the lines above",
    },
    {
      name: "unused files and packages",
      command: [scriptOf("knip"), "--no-progress", "--no-config-hints"],
      remedy: "remove it, or name it in package.json under knip",
    },
    {
      name: "unit tests and the rules of the house",
      command: [scriptOf("vitest"), "run", "--config", "test/vitest.config.ts", "--project", "unit"],
      remedy: "npm test -- <file> runs one file",
    },
  ];
  const startedAt = Date.now();
  const results = await Promise.all(parts.map(runPart));
  const seconds = ((Date.now() - startedAt) / 1_000).toFixed(1);
  const failed = results.filter((fine) => !fine).length;
  if (failed > 0) throw new Error(`\n${failed} of ${parts.length} parts found something (${seconds} s).`);
  say(`All ${parts.length} parts are fine (${seconds} s).`);
}

async function runPart(part: Part): Promise<boolean> {
  const startedAt = Date.now();
  const result: RunResult = await runNode(part.command, { output: "keep", limitMs: LIMIT_MS });
  const seconds = ((Date.now() - startedAt) / 1_000).toFixed(1);
  if (result.code === 0) say(`  fine   ${part.name} (${seconds} s)`);
  else say(`\n${result.output.trim()}\n  FOUND  ${part.name} (${seconds} s): ${part.remedy}\n`);
  return result.code === 0;
}
