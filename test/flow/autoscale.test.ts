// The command itself against a slow model: more worker processes while jobs wait, fewer when none does, none after
// SIGTERM.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Simulator, startSimulator } from "#ops/simulator/server.ts";
import { streamState } from "#runtime/nats/reader.ts";
import { Presence } from "#runtime/observe/presence.ts";
import { jobOf } from "#test/harness/inference.ts";
import { LoadWorld } from "#test/harness/load-world.ts";
import { endWithUs } from "#test/harness/reaping.ts";
import { waitUntil } from "#test/harness/wait.ts";

const BIN = fileURLToPath(new URL("../../ops/bin.js", import.meta.url));
let world: LoadWorld;
let simulator: Simulator;
let dir: string;
let command: ChildProcess;

beforeAll(async () => {
  world = await LoadWorld.start();
  simulator = await startSimulator();
  simulator.set({ ttftMs: 250 });
  dir = await mkdtemp(join(tmpdir(), "jetclaw-autoscale-"));
  const model = { name: "slow", baseUrl: simulator.baseUrl, concurrency: 1 };
  const config = { assistants: { default: {} }, pools: { large: { models: [model] } }, shards: 1 };
  await writeFile(join(dir, "config.json"), JSON.stringify(config));
});
afterAll(async () => {
  command?.kill("SIGKILL");
  await world?.stop();
  await simulator?.close();
  await rm(dir, { recursive: true, force: true });
});

test("workers come with a backlog, go with it, and end with the command", async () => {
  const workers = new Presence(world.bus, "worker");
  const count = (): number => workers.live().filter(({ draining }) => !draining).length;
  const until = (condition: () => boolean, what: string): Promise<unknown> => waitUntil(condition, { what });
  const flags = ["--pool", "large", "--max", "2", "--target-drain-ms", "500", "--hold-ms", "1000"];
  command = spawn(process.execPath, [...process.execArgv, BIN, "autoscale", ...flags], {
    env: { ...process.env, JETCLAW_NATS_URL: world.url, JETCLAW_CONFIG: join(dir, "config.json") },
    stdio: "ignore",
  });
  const spare = endWithUs(command.pid as number);
  await until(() => count() === 1, "the first worker");
  for (let n = 0; n < 60; n++)
    await world.submit(jobOf({ pool: "large", deadline: Date.now() + 90_000, stream: false }));
  await until(() => count() === 2, "the second worker");
  await waitUntil(async () => (await streamState(world.bus, "INFER-large")).messages === 0, {
    what: "the backlog to be worked off",
  });
  await until(() => count() === 1, "one worker to be ended");
  const ended = new Promise<number | null>((resolve) => command.once("exit", resolve));
  command.kill("SIGTERM");
  expect(await ended).toBe(0);
  spare();
  await until(() => workers.live().length === 0, "no worker to be left");
  workers.stop();
});
