// The life of our own nats-server on a data directory: started, refused, left behind, adopted, ended.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { connectBus, NO_DATA } from "#runtime/nats/connect.ts";
import { ASK_SUBJECT } from "#runtime/nats/majority.ts";
import { claim, hashOf } from "#runtime/nats/server/ownership.ts";
import { probe } from "#runtime/nats/server/probe.ts";
import { describeProcess, sendSignal, waitForEnd } from "#runtime/nats/server/processes.ts";
import {
  ensureNatsServer,
  type NatsServerOptions,
  type NatsServerProcess,
  startNatsServer,
} from "#runtime/nats/server.ts";
import { createLog } from "#runtime/observe/log.ts";
import { freePort } from "#test/harness/free-port.ts";
import { endWithUs } from "#test/harness/reaping.ts";
import { PATIENCE_MS, waitUntil } from "#test/harness/wait.ts";

const PROBE_MS = 20_000;
const OWNERSHIP = new URL("../../runtime/nats/server/ownership.ts", import.meta.url).href;
const MODULE = new URL("../../runtime/nats/server.ts", import.meta.url).href;
let bin: string;
let dataDir: string;
let lines: string[];
let started: NatsServerProcess[];

beforeAll(async () => {
  bin = await ensureNatsServer({ log: () => {}, given: process.env.NATS_SERVER_BIN });
});

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "jetclaw-nats-"));
  lines = [];
  started = [];
});

afterEach(async () => {
  await Promise.all(started.map((server) => server.stop()));
  await rm(dataDir, { recursive: true, force: true });
});

async function start(more: Partial<NatsServerOptions> = {}): Promise<NatsServerProcess> {
  const server = await startNatsServer(options(more));
  started.push(server);
  return server;
}

function options(more: Partial<NatsServerOptions> = {}): NatsServerOptions {
  return { bin, dataDir, port: 0, log: (line) => lines.push(line), ...more };
}

/** Another process starts a server on the data directory and is killed: its server stays behind, running. */
async function leaveBehind(): Promise<{ pid: number; port: number }> {
  const script = join(dataDir, "owner.mjs");
  await writeFile(
    script,
    `const { startNatsServer } = await import(${JSON.stringify(MODULE)});
    const { pid, port } = await startNatsServer(${JSON.stringify({ bin, dataDir, port: 0 })});
    console.log(JSON.stringify({ pid, port }));`,
  );
  const owner = spawn(process.execPath, [...process.execArgv, script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [output] = (await once(owner.stdout, "data")) as [Buffer];
  owner.kill("SIGKILL");
  await once(owner, "exit");
  return JSON.parse(output.toString("utf8")) as { pid: number; port: number };
}

async function listenAsStranger(): Promise<{ server: Server; port: number }> {
  const server = createServer((socket) => socket.end("hello\n"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return { server, port: address !== null && typeof address === "object" ? address.port : 0 };
}

test("a user that lacks a permission is told once which, and works on with what it may", async () => {
  const port = await freePort();
  const config = join(dataDir, "restricted.conf");
  await writeFile(
    config,
    `listen: "127.0.0.1:${port}"
    jetstream { store_dir: "${dataDir}" }
    authorization { users: [ { user: u, password: p, permissions: { publish: { deny: ["$SYS.>", "secret.>"] } } } ] }`,
  );
  const server = spawn(bin, ["-c", config], { stdio: "ignore" });
  const spare = endWithUs(server.pid as number);
  try {
    await waitUntil(async () => (await probe("127.0.0.1", port, PROBE_MS)).kind === "nats", {
      what: "the server",
    });
    const said: string[] = [];
    const say = (...parts: unknown[]) => void said.push(JSON.stringify(parts));
    const log = Object.assign(Object.create(createLog({ level: "silent" })), { warn: say, error: say });
    const credentials = { user: "u", pass: "p" };
    const bus = await connectBus({ servers: `127.0.0.1:${port}`, name: "restricted", log, credentials });
    const heard: string[] = [];
    bus.subscribe("open.>", ({ subject }) => void heard.push(subject));
    for (const subject of ["secret.a.ann", "secret.a.bob", ASK_SUBJECT]) bus.publish(subject, NO_DATA);
    await waitUntil(() => said.length >= 2, { what: "both to be said" });
    bus.publish("open.1", NO_DATA);
    await waitUntil(() => heard.length === 1, { what: "what is allowed" });
    expect(said).toEqual([
      expect.stringMatching(/"publish","subject":"secret.a.ann".*lacks a permission: allow it/),
      expect.stringMatching(
        /may not publish \$SYS.REQ.ACCOUNT.PING.STATZ.*allow it, then start this process again/,
      ),
    ]);
    await bus.close();
  } finally {
    server.kill("SIGKILL");
    spare();
  }
});

test("a server is ready when the start returns, and gone after the stop", async () => {
  const server = await start();
  const answer = await probe("127.0.0.1", server.port, PROBE_MS);
  expect(answer).toMatchObject({ kind: "nats", info: { jetstream: true } });
  expect(server.url).toBe(`nats://127.0.0.1:${server.port}`);
  await server.stop();
  expect(await server.exited).not.toBe(null);
  expect((await probe("127.0.0.1", server.port, PROBE_MS)).kind).toBe("closed");
});

test("the sync mode and the address reach the server's configuration", async () => {
  const server = await start({ syncInterval: "always" });
  const config = await readFile(join(dataDir, "nats.conf"), "utf8");
  await server.stop();
  expect(config).toMatch(/^\s*sync_interval: always$/m);
  expect(config).toContain(`listen: "127.0.0.1:${server.port}"`);
});

test("a killed server starts again on the same directory and port", async () => {
  const first = await start();
  first.kill();
  await first.exited;
  const second = await start({ port: first.port });
  expect(second).toMatchObject({ port: first.port, adopted: false });
  await second.stop();
});

test("a frozen server is silent, a thawed one answers, a frozen one can be stopped", async () => {
  const server = await start();
  await server.freeze();
  expect((await probe("127.0.0.1", server.port, 300)).kind).toBe("silent");
  server.thaw();
  expect((await probe("127.0.0.1", server.port, PROBE_MS)).kind).toBe("nats");
  await server.freeze();
  await server.stop();
  expect(await describeProcess(server.pid)).toBe(null);
});

test("a directory that is in use is refused, naming the next step", async () => {
  const server = await start();
  await expect(startNatsServer(options())).rejects.toThrow(
    /in use by another jetclaw process.*JETCLAW_DATA_DIR/,
  );
  expect((await probe("127.0.0.1", server.port, PROBE_MS)).kind).toBe("nats");
  await server.stop();
});

test("a server left behind by a killed process is adopted", async () => {
  const left = await leaveBehind();
  const server = await start({ port: left.port });
  expect(server).toMatchObject({ pid: left.pid, port: left.port, adopted: true });
  expect(lines.join("\n")).toContain("adopting");
  await server.stop();
  expect(await describeProcess(left.pid)).toBe(null);
});

test("of several processes that find a directory left behind at the same moment one gets it", async () => {
  const script = `const { claim } = await import(${JSON.stringify(OWNERSHIP)});
    process.on("message", (dir) => claim(dir).then(() => process.send("got"), () => process.send("refused")));
    process.send("ready");`;
  const claimants = Array.from({ length: 3 }, () =>
    spawn(process.execPath, [...process.execArgv, "--input-type=module", "-e", script], {
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    }),
  );
  const said = (): Promise<unknown[]> =>
    Promise.all(claimants.map(async (each) => ((await once(each, "message")) as unknown[])[0]));
  try {
    await said();
    for (let round = 0; round < 100; round++) {
      const left = { owner: { pid: 2 ** 30, startedAt: `${round}` }, server: null };
      await writeFile(join(dataDir, "nats-server.json"), JSON.stringify(left));
      const results = said();
      for (const each of claimants) each.send(dataDir);
      expect((await results).filter((result) => result === "got")).toHaveLength(1);
      expect(await readdir(dataDir)).toEqual(["nats-server.json"]);
    }
  } finally {
    for (const each of claimants) each.kill();
  }
});

test.each(["whole", "empty"])(
  "a claim that was cut off half-way, its record %s, keeps nobody out",
  async (how) => {
    const left = JSON.stringify({ owner: { pid: 2 ** 30, startedAt: "1" }, server: null });
    await writeFile(join(dataDir, "nats-server.json"), left);
    const half = join(dataDir, `nats-server.json.${hashOf(left)}`);
    await writeFile(half, how === "whole" ? left : "");
    const minuteAgo = Date.now() / 1_000 - 60;
    await utimes(half, minuteAgo, minuteAgo);
    await claim(dataDir);
    expect(await readdir(dataDir)).toEqual(["nats-server.json"]);
  },
);

test("a server left behind with other settings is ended and started anew", async () => {
  const left = await leaveBehind();
  const server = await start({ port: left.port, syncInterval: "always" });
  expect(server).toMatchObject({ port: left.port, adopted: false });
  expect(await describeProcess(left.pid)).toBe(null);
  await server.stop();
});

test("a server left behind and frozen is ended and started anew", async () => {
  const left = await leaveBehind();
  sendSignal(left.pid, "SIGSTOP");
  const server = await start({ port: left.port });
  expect(server.adopted).toBe(false);
  expect(await describeProcess(left.pid)).toBe(null);
  await server.stop();
});

test("a process that exits without stopping its server takes it along", async () => {
  const script = `const { startNatsServer } = await import(${JSON.stringify(MODULE)});
    const { pid } = await startNatsServer(${JSON.stringify({ bin, dataDir, port: 0 })});
    process.stdout.write(String(pid), () => process.exit(1));`;
  const owner = spawn(process.execPath, [...process.execArgv, "--input-type=module", "-e", script]);
  const [output] = (await once(owner.stdout, "data")) as [Buffer];
  expect(await waitForEnd(Number(output.toString("utf8")), PATIENCE_MS)).toBe(true);
});

test("a recorded pid that belongs to a stranger by now is left alone", async () => {
  const stranger = spawn("sleep", ["600"]);
  const party = { pid: stranger.pid, startedAt: "another time" };
  const record = { owner: party, server: { ...party, port: 1, configHash: "" } };
  await writeFile(join(dataDir, "nats-server.json"), JSON.stringify(record));
  const server = await start();
  await server.stop();
  expect(await describeProcess(stranger.pid ?? 0)).not.toBe(null);
  stranger.kill();
});

test("a port taken by another program is a clear error, and the directory stays usable", async () => {
  const { server: stranger, port } = await listenAsStranger();
  await expect(startNatsServer(options({ port }))).rejects.toThrow(
    /taken by another program.*JETCLAW_NATS_PORT/,
  );
  stranger.close();
  await once(stranger, "close");
  const server = await start({ port });
  await server.stop();
});

test("a port taken by another NATS server says so", async () => {
  const other = await start();
  const second = await mkdtemp(join(tmpdir(), "jetclaw-nats-"));
  await expect(startNatsServer(options({ dataDir: second, port: other.port }))).rejects.toThrow(
    /another NATS server/,
  );
  await other.stop();
  await rm(second, { recursive: true, force: true });
});

test("a server that cannot start reports its own last words", async () => {
  const configFile = join(dataDir, "broken.conf");
  const template = ["listen: x", "server_name: x", "store_dir: x", "sync_interval: 1s", "nonsense: {"].join(
    "\n",
  );
  await writeFile(configFile, template);
  await expect(startNatsServer(options({ configFile }))).rejects.toThrow(/did not start on port/);
});

test("a named binary that is none is refused, not replaced", async () => {
  await expect(ensureNatsServer({ log: () => {}, given: "/bin/true" })).rejects.toThrow(/NATS_SERVER_BIN/);
});

test("a server that looks through a large store is waited for, however long it takes, and its user hears of it", async () => {
  const slow = join(dataDir, "slow-nats-server");
  await writeFile(slow, `#!/bin/sh\nsleep 1\nexec "${bin}" "$@"\n`, { mode: 0o755 });
  // Half a minute passes each time somebody looks at a clock.
  let ahead = 0;
  for (const clock of [Date, performance]) {
    const now = clock.now.bind(clock);
    vi.spyOn(clock, "now").mockImplementation(() => {
      ahead += 30_000;
      return now() + ahead;
    });
  }
  try {
    await start({ bin: slow });
  } finally {
    vi.restoreAllMocks();
  }
  expect(lines).toContainEqual(expect.stringMatching(/still starting after \d+ s/));
});
