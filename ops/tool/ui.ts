// Keeps the built pages in dist/ui as new as their sources. The published package carries them built.
import { createHash, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { demand, ROOT, runNode, scriptOf } from "./process.ts";

const LIMIT_MS = 120_000;
const CONFIG = "ops/ui/vite.config.ts";
/** The pages import types and rules from contracts/, and the lock file names what they are built with. */
const SOURCES = ["ops/ui", "contracts", "package-lock.json"];

/** Returns the folder that holds the built pages. */
export async function ensureUi({ log }: { log: (line: string) => void }): Promise<string> {
  const isPackage = import.meta.url.endsWith(".js");
  if (isPackage) return fileURLToPath(new URL("../../ui", import.meta.url));
  const folder = join(ROOT, "dist/ui");
  if (!existsSync(join(ROOT, CONFIG))) return folder;
  const sources = await hashSources();
  const built = await readFile(join(folder, ".stamp"), "utf8").catch(() => "");
  if (built === sources) return folder;
  const startedAt = Date.now();
  log(built === "" ? "Building the pages." : "Building the pages, as their sources have changed.");
  await buildUi(folder, sources);
  log(`The pages are built (${((Date.now() - startedAt) / 1_000).toFixed(1)} s).`);
  return folder;
}

/** Builds beside the folder and changes places at the end, so that a server never serves half a build. */
async function buildUi(folder: string, stamp: string): Promise<void> {
  const draft = `${folder}-${randomUUID()}`;
  const old = `${draft}-old`;
  try {
    const command = [scriptOf("vite"), "build", "--config", CONFIG, "--outDir", draft, "--logLevel", "warn"];
    await demand("The build of the pages", runNode(command, { output: "keep", limitMs: LIMIT_MS }));
    await writeFile(join(draft, ".stamp"), stamp);
    if (existsSync(folder)) await rename(folder, old);
    await rename(draft, folder);
  } finally {
    await Promise.all([draft, old].map((path) => rm(path, { recursive: true, force: true })));
  }
}

async function hashSources(): Promise<string> {
  const hash = createHash("sha256");
  for (const source of SOURCES) {
    const path = join(ROOT, source);
    const files = source.includes(".") ? [path] : await listFiles(path);
    for (const file of files) hash.update(`${file.slice(ROOT.length)}\0`).update(await readFile(file));
  }
  return hash.digest("hex");
}

async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}
