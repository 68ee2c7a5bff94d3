// Makes a fresh clone runnable: dependencies as the lock file names them, a Node that runs TypeScript as it is,
// and this program started again by that Node. A second start finds all of it in place and costs a hash.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cacheFolder } from "./cache-folder.js";
import { supervise } from "./supervise.js";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const NODE_MAJOR = 24;
const NODE_MINOR = 12;
const FLAGS = ["--conditions=jetclaw-src", "--disable-warning=ExperimentalWarning"];
/** Registries answer or they do not; an install that takes longer than this is stuck. */
const INSTALL_LIMIT_MS = 10 * 60_000;

/** @param {string[]} args */
export async function boot(args) {
  const ready = nodeIsFine(process.versions.node) && process.execArgv.includes(FLAGS[0]);
  if (ready) return start(args);
  try {
    await ensureDependencies();
    const node = nodeIsFine(process.versions.node) ? process.execPath : await ensureNode();
    await supervise(node, [...FLAGS, join(ROOT, "ops/bin.js"), ...args]);
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    process.exit(1);
  }
}

/** @param {string[]} args */
async function start(args) {
  const { listen } = await import("./supervise.js");
  listen();
  if (args[0] === "tool") {
    const { main } = await import("./tool/main.ts");
    return main(args.slice(1));
  }
  const { main } = await import("./cli/main.ts");
  return main(args);
}

/** @param {string} version */
function nodeIsFine(version) {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > NODE_MAJOR || (major === NODE_MAJOR && minor >= NODE_MINOR);
}

async function ensureDependencies() {
  const stamp = join(ROOT, "node_modules/.jetclaw-stamp");
  const lockHash = hash(readFileSync(join(ROOT, "package-lock.json")));
  const fresh = () => existsSync(stamp) && readFileSync(stamp, "utf8") === lockHash;
  if (fresh()) return;
  await withLock(`install-${hash(ROOT).slice(0, 16)}`, async () => {
    if (fresh()) return;
    if (!installedAsLocked()) {
      assertOwnFolder();
      say("Installing dependencies (npm ci), once for this clone.");
      await npm(["ci"], "dependencies");
    }
    writeFileSync(stamp, lockHash);
  });
}

/** `npm ci` empties the folder first, also through a link: another clone's, then. */
function assertOwnFolder() {
  const folder = join(ROOT, "node_modules");
  if (!lstatSync(folder, { throwIfNoEntry: false })?.isSymbolicLink()) return;
  throw new Error(
    `${folder} is a link, and what it leads to has not what package-lock.json here names.\n` +
      "Remove the link, then run the same command again: this clone gets a folder of its own.",
  );
}

/**
 * After `npm install <package>` the folder is as the new lock file says, without our stamp: npm's own record tells.
 * A package that npm left out because it is for another system is no difference.
 */
function installedAsLocked() {
  const record = join(ROOT, "node_modules/.package-lock.json");
  if (!existsSync(record)) return false;
  const installed = JSON.parse(readFileSync(record, "utf8")).packages;
  const wanted = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")).packages;
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === "") return true;
    const found = installed[path];
    return found
      ? found.version === entry.version && found.integrity === entry.integrity
      : entry.optional === true;
  });
}

/** @returns {Promise<string>} the path of a Node that is new enough */
async function ensureNode() {
  const name = `node-${process.platform === "win32" ? "win" : process.platform}-${process.arch}`;
  const folder = join(cacheFolder(), "node");
  const file = process.platform === "win32" ? "bin/node.exe" : "bin/node";
  const binary = join(folder, "node_modules", name, file);
  if (await works(binary)) return binary;
  return withLock("node", async () => {
    if (await works(binary)) return binary;
    say(
      `This is Node ${process.versions.node}; installing Node ${NODE_MAJOR} into ${folder}, once for this user.`,
    );
    mkdirSync(folder, { recursive: true });
    await npm(["install", "--no-save", "--prefix", folder, `${name}@${NODE_MAJOR}`], `Node ${NODE_MAJOR}`);
    if (await works(binary)) return binary;
    throw new Error(
      `The Node in ${binary} does not run on this machine.\n` +
        `Install Node ${NODE_MAJOR}.${NODE_MINOR} or newer (https://nodejs.org), then run the same command again.`,
    );
  });
}

/** @param {string} binary */
async function works(binary) {
  if (!existsSync(binary)) return false;
  const { code, output } = await run(binary, ["--version"], 20_000);
  return code === 0 && nodeIsFine(output.trim().replace(/^v/, ""));
}

/**
 * @param {string[]} args
 * @param {string} what
 */
async function npm(args, what) {
  const options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  // Under `npm start` this names the npm that runs us; Windows cannot spawn npm by its name alone.
  const script = process.env.npm_execpath;
  const [command, first] = script?.endsWith(".js") ? [process.execPath, [script]] : ["npm", []];
  const stop = showProgress(what);
  const { code, output } = await run(command, [...first, ...args, ...options], INSTALL_LIMIT_MS);
  stop();
  if (code === 0) return;
  throw new Error(
    `npm could not install the ${what}:\n${output.trim().split("\n").slice(0, 12).join("\n")}\n` +
      "Check the network and `npm config get registry`, then run the same command again.",
  );
}

/** @param {string} what */
function showProgress(what) {
  const startedAt = Date.now();
  const line = () => `  ${what}: ${Math.round((Date.now() - startedAt) / 1000)} s`;
  const live = process.stderr.isTTY;
  const timer = setInterval(
    () => process.stderr.write(live ? `\r${line()}` : `${line()}\n`),
    live ? 500 : 10_000,
  );
  return () => {
    clearInterval(timer);
    process.stderr.write(`${live ? "\r" : ""}${line()}, finished\n`);
  };
}

/**
 * @param {string} command
 * @param {string[]} args
 * @param {number} limitMs
 * @returns {Promise<{ code: number, output: string }>}
 */
function run(command, args, limitMs) {
  return new Promise((resolve) => {
    // The working folder matters to `npm ci` alone; no input, so that nothing can ask a question and wait.
    const child = spawn(command, args, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"], timeout: limitMs });
    let output = "";
    child.stdout.on("data", (data) => (output += data));
    child.stderr.on("data", (data) => (output += data));
    child.on("error", (error) => resolve({ code: 1, output: error.message }));
    child.on("close", (code) => resolve({ code: code ?? 1, output }));
  });
}

/**
 * Two starts at once must not install into the same folder. The lock names its owner, so one left by a killed
 * process is recognised and removed.
 * @template T
 * @param {string} name
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
async function withLock(name, work) {
  const path = join(cacheFolder(), `${name}.lock`);
  mkdirSync(dirname(path), { recursive: true });
  let waits = 0;
  while (!takeLock(path)) {
    if (waits++ === 0) say("Another start is installing already; waiting for it.");
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  try {
    return await work();
  } finally {
    rmSync(path, { force: true });
  }
}

/** @param {string} path */
function takeLock(path) {
  try {
    writeFileSync(path, String(process.pid), { flag: "wx" });
    return true;
  } catch {
    if (isAbandoned(path)) rmSync(path, { force: true });
    return false;
  }
}

/** @param {string} path */
function isAbandoned(path) {
  try {
    if (Date.now() - statSync(path).mtimeMs > INSTALL_LIMIT_MS) return true;
    const owner = Number(readFileSync(path, "utf8"));
    // An empty lock is one that its owner is about to write.
    if (owner > 0) process.kill(owner, 0);
    return false;
  } catch (error) {
    return error.code === "ESRCH";
  }
}

/** @param {string | Buffer} text */
function hash(text) {
  return createHash("sha256").update(text).digest("hex");
}

/** @param {string} text */
function say(text) {
  console.error(`jetclaw: ${text}`);
}
