// Gets a nats-server binary that is new enough: what the machine has, else what the cache holds, else the first
// way in ways.ts that works. The cache keeps a hash beside each binary and fills a folder by one rename, so that
// processes starting at once never see half a file.
import { createHash, randomUUID } from "node:crypto";
import { chmod, copyFile, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { execute, findProgram, type Log } from "./execute.ts";
import { isNewEnough, OLDEST_VERSION } from "./version.ts";
import { WAYS } from "./ways.ts";

export interface BinaryOptions {
  readonly log: Log;
  /** The path an operator names by NATS_SERVER_BIN; it is taken or refused, never replaced. */
  readonly given?: string | undefined;
  /** Default: ~/.cache/jetclaw */
  readonly cacheDir?: string | undefined;
}

const FILE = process.platform === "win32" ? "nats-server.exe" : "nats-server";
/** Where Homebrew puts it; a shell started from a desktop often lacks these on its PATH. */
const BREW_PATHS = ["/opt/homebrew/bin", "/usr/local/bin", "/home/linuxbrew/.linuxbrew/bin"];
const VERSION_LIMIT_MS = 20_000;

export async function ensureNatsServer(options: BinaryOptions): Promise<string> {
  const { log } = options;
  if (options.given) return checkGiven(options.given);
  const cache = join(options.cacheDir ?? join(homedir(), ".cache", "jetclaw"), "nats-server");
  const found = (await fromPath(log)) ?? (await fromCache(cache, log)) ?? (await fromBrew());
  return found ?? fetchInto(cache, log);
}

/** Null when the file does not run or is too old for the JetStream features in use. */
async function acceptedVersion(binary: string): Promise<string | null> {
  const { code, output } = await execute(binary, ["--version"], { limitMs: VERSION_LIMIT_MS });
  const version = /v(\d+\.\d+\.\d+)/.exec(output)?.[1];
  return code === 0 && version !== undefined && isNewEnough(version) ? version : null;
}

async function checkGiven(path: string): Promise<string> {
  if ((await acceptedVersion(path)) !== null) return path;
  throw new Error(
    `NATS_SERVER_BIN names ${path}, which is no nats-server of version ${OLDEST_VERSION} or newer. ` +
      "Correct the path, or unset it so that one is fetched.",
  );
}

async function fromPath(log: Log): Promise<string | null> {
  const path = await findProgram("nats-server");
  if (path === null) return null;
  if ((await acceptedVersion(path)) !== null) return path;
  log(`nats-server: ${path} is older than ${OLDEST_VERSION}, looking further`);
  return null;
}

async function fromBrew(): Promise<string | null> {
  for (const folder of BREW_PATHS) {
    const path = join(folder, FILE);
    if ((await acceptedVersion(path)) !== null) return path;
  }
  return null;
}

async function fromCache(cache: string, log: Log): Promise<string | null> {
  const folders = await readdir(cache).catch(() => []);
  const newestFirst = folders
    .filter((name) => /^\d+\.\d+\.\d+$/.test(name))
    .sort((one, other) => other.localeCompare(one, "en", { numeric: true }));
  for (const name of newestFirst) {
    const folder = join(cache, name);
    if (await isIntact(folder)) return join(folder, FILE);
    log(`nats-server: the cached ${name} does not match its checksum, removing it`);
    await rm(folder, { recursive: true, force: true });
  }
  return null;
}

async function isIntact(folder: string): Promise<boolean> {
  try {
    const recorded = await readFile(join(folder, "sha256"), "utf8");
    return recorded === (await fileHash(join(folder, FILE)));
  } catch {
    return false;
  }
}

async function fileHash(path: string): Promise<string> {
  return createHash("sha256")
    .update(await readFile(path))
    .digest("hex");
}

async function fetchInto(cache: string, log: Log): Promise<string> {
  const failures: string[] = [];
  for (const way of WAYS) {
    const folder = join(cache, `.fetch-${randomUUID()}`);
    await mkdir(folder, { recursive: true }).catch((cause: NodeJS.ErrnoException) => {
      throw new Error(
        `No nats-server was found, and ${cache} cannot be written to fetch one (${cause.code}).\n` +
          "Set JETCLAW_CACHE_DIR to a folder that can, or NATS_SERVER_BIN to a nats-server.",
        { cause },
      );
    });
    try {
      if (!(await way.isPossible())) {
        failures.push(`${way.name}: ${way.needs}`);
        continue;
      }
      log(`nats-server: fetching it, once for this user: ${way.name}`);
      const binary = await way.fetch(folder, log);
      const stored = await store(binary, cache, folder);
      log(`nats-server: ready in ${stored}`);
      return stored;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      failures.push(`${way.name}: ${reason}`);
      log(`nats-server: that did not work (${reason})`);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  throw new Error(nothingWorked(failures));
}

async function store(binary: string, cache: string, folder: string): Promise<string> {
  await chmod(binary, 0o755);
  const version = await acceptedVersion(binary);
  if (version === null) throw new Error(`what came does not run here or is older than ${OLDEST_VERSION}`);
  const draft = join(folder, "draft");
  await mkdir(draft);
  await copyFile(binary, join(draft, FILE));
  await chmod(join(draft, FILE), 0o755);
  await writeFile(join(draft, "sha256"), await fileHash(join(draft, FILE)));
  const final = join(cache, version);
  try {
    await rename(draft, final);
  } catch (error) {
    // Another process was quicker, and its folder is complete because it came by a rename as well.
    if (!(await isIntact(final))) throw error;
  }
  return join(final, FILE);
}

function nothingWorked(failures: readonly string[]): string {
  return [
    `No nats-server ${OLDEST_VERSION} or newer was found and none could be fetched:`,
    ...failures.map((failure) => `  - ${failure}`),
    "Any one of these helps:",
    "  - install it (https://docs.nats.io/running-a-nats-service/introduction/installation, or `brew install nats-server`)",
    "  - name a binary: NATS_SERVER_BIN=/path/to/nats-server",
    "  - run one elsewhere, `docker run -p 4222:4222 nats:2.15 -js`, and set JETCLAW_NATS_URL=nats://127.0.0.1:4222",
  ].join("\n");
}
