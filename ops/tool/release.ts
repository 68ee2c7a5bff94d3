// Everything that has to hold before a version is published. It publishes nothing itself.
import { build } from "./build.ts";
import { check } from "./check.ts";
import { demand, run, runNode, say, scriptOf } from "./process.ts";
import { test } from "./test.ts";

const LIMIT_MS = 120_000;

export async function release(): Promise<void> {
  await check();
  await test([]);
  if (process.exitCode) throw new Error("The tests failed; nothing was packed.");
  await build();
  await demand(
    "publint",
    runNode([scriptOf("publint"), "run", "--strict"], { output: "show", limitMs: LIMIT_MS }),
  );
  // dist/ is fresh, so the dry run need not build it again.
  const pack = run("npm", ["pack", "--dry-run", "--ignore-scripts"], { output: "show", limitMs: LIMIT_MS });
  await demand("npm pack", pack);
  say("\nReady. Next: npm version <new version>, push the tag, npm publish.");
}
