// Makes what the package carries: JavaScript and declarations by tsc, the pages by Vite, all in dist/.
import { cp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { demand, ROOT, runNode, say, scriptOf } from "./process.ts";
import { ensureUi } from "./ui.ts";

const LIMIT_MS = 180_000;
const LAYERS = ["contracts", "runtime", "actors", "ops"];
const IS_CODE = /\.(ts|tsx|js)$/;
/** The pages come built; the tools and the documents of the folders are for those who have the clone. */
const NOT_PACKED = /^ops\/(ui|tool)\/|\/README\.md$/;

export async function build(): Promise<void> {
  const startedAt = Date.now();
  await removeOldCode();
  const command = [scriptOf("typescript", "tsc"), "-p", "ops/tool/tsconfig.build.json"];
  await Promise.all([
    demand("tsc", runNode(command, { output: "keep", limitMs: LIMIT_MS })),
    ensureUi({ log: say }),
    copyData(),
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

/** What is read at run time and is no code, such as the demo's documents, keeps its place beside the code. */
async function copyData(): Promise<void> {
  for (const layer of LAYERS) {
    const entries = await readdir(join(ROOT, layer), { recursive: true, withFileTypes: true });
    for (const entry of entries) {
      const path = join(entry.parentPath, entry.name).slice(ROOT.length);
      const isData = entry.isFile() && !IS_CODE.test(path) && !NOT_PACKED.test(path);
      if (isData) await cp(join(ROOT, path), join(ROOT, "dist", path));
    }
  }
}
