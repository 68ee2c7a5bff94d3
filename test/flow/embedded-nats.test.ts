// The nats-server of `up`: started again when it dies, and never left behind.
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type EmbeddedNats, startEmbeddedNats } from "#ops/compose/embedded.ts";
import { readSettings } from "#ops/settings.ts";
import { ensureNatsServer } from "#runtime/nats/server.ts";
import { isAlive } from "#test/harness/reaping.ts";
import { waitUntil } from "#test/harness/wait.ts";

const SILENT = pino({ level: "silent" });
const HOUR_MS = 3_600_000;
let folder: string;
let nats: EmbeddedNats | undefined;
let hours: number;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "jetclaw-embedded-"));
  hours = 0;
});
afterEach(async () => {
  await nats?.stop();
  nats = undefined;
  await rm(folder, { recursive: true, force: true });
});

/** The server's program notes its pid; a restart waits until the file `go` is there. */
async function start(): Promise<EmbeddedNats> {
  const real = await ensureNatsServer({ log: () => {}, given: process.env.NATS_SERVER_BIN });
  const bin = join(folder, "nats-server.sh");
  const script = [
    "#!/bin/sh",
    `[ "$1" = -c ] || exec ${real} "$@"`,
    `echo $$ >> ${folder}/pids`,
    `while [ $(wc -l < ${folder}/pids) -gt 1 ] && [ ! -e ${folder}/go ]; do sleep 0.02; done`,
    `exec ${real} "$@"`,
  ];
  await writeFile(bin, `${script.join("\n")}\n`, { mode: 0o755 });
  const settings = readSettings({
    ...process.env,
    JETCLAW_DATA_DIR: folder,
    JETCLAW_NATS_PORT: "0",
    NATS_SERVER_BIN: bin,
  });
  const clock = { now: () => Date.now() + hours * HOUR_MS, sleep: () => Promise.resolve() };
  return startEmbeddedNats(settings, SILENT, () => {}, clock);
}

const pids = async (): Promise<number[]> =>
  (await readFile(join(folder, "pids"), "utf8")).trim().split("\n").map(Number);

/** The pid of the n-th server. */
const launched = (n: number): Promise<number> =>
  waitUntil(async () => (await pids())[n - 1], { what: `server ${n}` });

test("a server that dies now and then for weeks is started again each time", async () => {
  await writeFile(join(folder, "go"), "");
  nats = await start();
  for (let n = 1; n <= 7; n++) {
    process.kill(await launched(n), "SIGKILL");
    hours++;
  }
  expect(isAlive(await launched(8))).toBe(true);
});

test("a stop while the server is started again leaves none", async () => {
  nats = await start();
  process.kill(await launched(1), "SIGKILL");
  const second = await launched(2);
  const stopped = nats.stop();
  await writeFile(join(folder, "go"), "");
  await stopped;
  expect(isAlive(second)).toBe(false);
});

test("a stop does not wait for a server that has not come up again yet", async () => {
  nats = await start();
  process.kill(await launched(1), "SIGKILL");
  const second = await launched(2);
  await nats.stop();
  expect(isAlive(second)).toBe(false);
});

test("a data folder in which a file cannot be written is named, with what to do", async () => {
  await mkdir(join(folder, "nats/nats.conf"), { recursive: true });
  await expect(start()).rejects.toMatchObject({
    code: "start.refused",
    detail: expect.stringMatching(/data folder .*nats cannot be written \(EISDIR\);.*JETCLAW_DATA_DIR/),
  });
});

test("a program that cannot be fetched, as its folder cannot be made, names both ways on", async (context) => {
  await writeFile(join(folder, "file"), "");
  const path = process.env.PATH;
  process.env.PATH = "";
  const said = await ensureNatsServer({ log: () => {}, cacheDir: join(folder, "file") }).catch(String);
  process.env.PATH = path;
  if (!said.startsWith("Error")) context.skip("one is installed where Homebrew puts it");
  expect(said).toMatch(
    /cannot be written to fetch one \(ENOTDIR\)\.\nSet JETCLAW_CACHE_DIR .*NATS_SERVER_BIN/,
  );
});
