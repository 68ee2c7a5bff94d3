// Finds a browser for the tests of the pages: a named one, one on the PATH, or Debian's package where this
// machine is Debian and we may install it.
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { run } from "./process.ts";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
const MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome";
const INSTALL_LIMIT_MS = 5 * 60_000;

export type Chromium = { readonly path: string } | { readonly reason: string };

export async function ensureChromium(log: (line: string) => void): Promise<Chromium> {
  const { CHROMIUM_BIN } = process.env;
  if (CHROMIUM_BIN) {
    if (existsSync(CHROMIUM_BIN)) return { path: CHROMIUM_BIN };
    return { reason: `CHROMIUM_BIN names ${CHROMIUM_BIN}, which does not exist.` };
  }
  const found = findOnPath();
  if (found !== null) return { path: found };
  if (!(await mayInstall())) {
    return { reason: "no Chromium was found. Install one, or name it by CHROMIUM_BIN." };
  }
  log("No Chromium was found: installing Debian's package (apt-get install -y chromium), about a minute.");
  const options = {
    output: "keep",
    limitMs: INSTALL_LIMIT_MS,
    env: { DEBIAN_FRONTEND: "noninteractive" },
  } as const;
  await run("apt-get", ["update"], options);
  const { code, output } = await run(
    "apt-get",
    ["install", "-y", "--no-install-recommends", "chromium"],
    options,
  );
  const installed = findOnPath();
  if (code === 0 && installed !== null) return { path: installed };
  return { reason: `apt-get could not install chromium: ${output.trim().split("\n").at(-1) ?? ""}` };
}

function findOnPath(): string | null {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const candidates = [...folders.flatMap((folder) => NAMES.map((name) => join(folder, name))), MAC];
  return candidates.find((path) => existsSync(path)) ?? null;
}

async function mayInstall(): Promise<boolean> {
  const isDebian = /^ID=debian$/m.test(await readFile("/etc/os-release", "utf8").catch(() => ""));
  return isDebian && process.getuid?.() === 0 && existsSync("/usr/bin/apt-get");
}
