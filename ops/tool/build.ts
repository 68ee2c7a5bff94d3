// Makes what the package carries: JavaScript and declarations by tsc, the pages by Vite, all in dist/.
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { demand, ROOT, runNode, say, scriptOf } from "./process.ts";
import { ensureUi } from "./ui.ts";

const LIMIT_MS = 180_000;

export async function build(): Promise<void> {
  const startedAt = Date.now();
  await removeOldCode();
  const command = [scriptOf("typescript", "tsc"), "-p", "ops/tool/tsconfig.build.json"];
  await Promise.all([
    demand("tsc", runNode(command, { output: "keep", limitMs: LIMIT_MS })),
    ensureUi({ log: say }),
  ]);
  say(`dist/ is built (${((Date.now() - startedAt) / 1_000).toFixed(1)} s).`);
}

/** A source that is gone must not stay in the package; the pages have a stamp of their own. */
async function removeOldCode(): Promise<void> {
  const dist = join(ROOT, "dist");
  const entries = await readdir(dist).catch(() => []);
  const old = entries.filter((name) => !name.startsWith("ui"));
  await Promise.all(old.map((name) => rm(join(dist, name), { recursive: true, force: true })));
}
