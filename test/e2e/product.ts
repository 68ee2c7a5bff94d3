/** The product as a person starts it: one process tree, a port and a data folder of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort } from "#test/harness/free-port.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const START_MS = 180_000;
const STOP_MS = 20_000;
const KEPT_LOG_CHARS = 8_000;

export interface Product {
  readonly url: string;
  stop(): Promise<void>;
}

/** Resolves when every role takes work and the demo knowledge can be searched. */
export async function startProduct(): Promise<Product> {
  const port = await freePort();
  const data = await mkdtemp(join(tmpdir(), "jetclaw-e2e-"));
  const env = { ...process.env, JETCLAW_PORT: String(port), JETCLAW_DATA_DIR: data, JETCLAW_NATS_PORT: "0" };
  // The built-in model answers: a test must neither cost money nor depend on somebody's key.
  for (const name of [
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "JETCLAW_MODEL",
    "JETCLAW_NATS_URL",
    "NODE_OPTIONS",
  ]) {
    Reflect.deleteProperty(env, name);
  }
  const child = spawn(process.execPath, ["ops/bin.js", "up"], {
    cwd: ROOT,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  const keep = (chunk: Buffer): void => {
    log = (log + chunk.toString("utf8")).slice(-KEPT_LOG_CHARS);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const stop = async (): Promise<void> => {
    await end(child);
    await rm(data, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  };
  const url = `http://127.0.0.1:${port}/`;
  const until = Date.now() + START_MS;
  while (Date.now() < until && child.exitCode === null) {
    const ready = await fetch(`${url}readyz`).catch(() => undefined);
    await ready?.body?.cancel();
    if (ready?.ok) return { url, stop };
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  await stop();
  throw new Error(`The product did not become ready (exit code ${child.exitCode}). Its last lines:\n${log}`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await ended;
  clearTimeout(timer);
}
