// How commands end: at a signal while they start, with nothing left of what they started; and where a server is silent.
import { type ChildProcess, spawn } from "node:child_process";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readSettings } from "#ops/settings.ts";
import { ensureNatsServer } from "#runtime/nats/server.ts";
import { freePort } from "#test/harness/free-port.ts";
import { endWithUs, isAlive } from "#test/harness/reaping.ts";
import { waitUntil } from "#test/harness/wait.ts";

const BIN = fileURLToPath(new URL("../../ops/bin.js", import.meta.url));
let folder: string;
let child: ChildProcess | undefined;
let said = "";

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "jetclaw-start-"));
  said = "";
});
afterEach(async () => {
  child?.kill("SIGKILL");
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

function start(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  options: { readonly detached?: boolean } = {},
): Promise<number | null> {
  child = spawn(process.execPath, [...process.execArgv, BIN, ...args], {
    env: { ...process.env, JETCLAW_DATA_DIR: folder, JETCLAW_MODEL: "", OPENAI_BASE_URL: "", ...env },
    stdio: ["ignore", "ignore", "pipe"],
    ...options,
  });
  endWithUs(child.pid as number);
  child.stderr?.on("data", (data) => {
    said += String(data);
  });
  return new Promise((resolve) => child?.once("exit", resolve));
}

test("SIGTERM before nats-server is ready ends nats-server too", async () => {
  const { natsServerBin: given, cacheDir } = readSettings();
  const real = await ensureNatsServer({ log: () => {}, given, cacheDir });
  const silent = join(folder, "nats-server");
  // Says its version as the real one does, and then never greets.
  await writeFile(silent, `#!/bin/sh\ncase "$*" in *-c*) exec sleep 600;; *) exec "${real}" "$@";; esac\n`);
  await chmod(silent, 0o755);
  const ended = start(["up"], {
    NATS_SERVER_BIN: silent,
    JETCLAW_PORT: String(await freePort()),
    JETCLAW_NATS_PORT: String(await freePort()),
  });
  let server = 0;
  const begun = async (): Promise<boolean> => {
    const record = await readFile(join(folder, "nats/nats-server.json"), "utf8").catch(() => "{}");
    server = (JSON.parse(record) as { server?: { pid: number } }).server?.pid ?? 0;
    return server > 0;
  };
  await waitUntil(begun, { what: "nats-server to be started", timeoutMs: 120_000 });
  const spare = endWithUs(server);
  child?.kill("SIGTERM");
  expect(await ended).toBe(143);
  await waitUntil(() => !isAlive(server), { what: "nats-server to end" });
  spare();
});

test("Ctrl-C, which the embedded server hears as well, ends in silence", async () => {
  const port = await freePort();
  const ports = { JETCLAW_PORT: String(port), JETCLAW_NATS_PORT: String(await freePort()) };
  const ended = start(["up"], ports, { detached: true });
  const isReady = (): Promise<boolean> =>
    fetch(`http://127.0.0.1:${port}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    );
  await waitUntil(isReady, { what: "it to be ready", timeoutMs: 120_000 });
  process.kill(-(child?.pid as number), "SIGINT");
  expect(await ended).toBe(0);
  expect(said.split("\n").filter((line) => line.startsWith("{"))).toEqual([]);
});

test("a role that waits for NATS names the servers without their passwords, and ends at a signal", async () => {
  const ended = start(["run", "invalidator", "--nats", "nats://ann:one@127.0.0.1:1,bob:two@127.0.0.1:2"]);
  await waitUntil(() => /Waiting for NATS.*\n/.test(said), { what: "it to wait", timeoutMs: 60_000 });
  expect(said).toContain("Waiting for NATS at nats://127.0.0.1:1, nats://127.0.0.1:2 ...");
  expect(said).not.toMatch(/one|two/);
  child?.kill("SIGTERM");
  expect(await ended).toBe(143);
});

test("doctor ends where servers accept and say nothing", async () => {
  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const { port } = silent.address() as AddressInfo;
  try {
    const nats = ["--nats", `nats://127.0.0.1:${port}`];
    expect(await start(["doctor", ...nats, "--url", `http://127.0.0.1:${port}`])).toBe(1);
  } finally {
    silent.close();
  }
});
