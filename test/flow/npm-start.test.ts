// `npm start` as a supervisor or a shell holds it: npm passes SIGTERM to its shell alone, and a terminal may be closed.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test } from "vitest";
import { freePort } from "#test/harness/free-port.ts";
import { endWithUs, isAlive } from "#test/harness/reaping.ts";
import { waitUntil } from "#test/harness/wait.ts";

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const LIMITS = { timeoutMs: 180_000, pollMs: 100 };
let folder = "";
let shell: ChildProcess | undefined;

afterEach(async () => {
  shell?.kill("SIGKILL");
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

test("started in the background it outlives its terminal, and SIGTERM to npm ends all of it", async () => {
  folder = await mkdtemp(join(tmpdir(), "jetclaw-npm-"));
  const [port, natsPort] = [await freePort(), await freePort()];
  const log = join(folder, "log");
  const output = () => readFile(log, "utf8").catch(() => "");
  // The shell lives until it is told, as one behind a terminal does; what it sends into the background stays.
  shell = spawn("sh", ["-c", `nohup npm start >"$LOG" 2>&1 & echo $!; read line`], {
    cwd: ROOT,
    env: {
      ...process.env,
      PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
      LOG: log,
      JETCLAW_PORT: String(port),
      JETCLAW_NATS_PORT: String(natsPort),
      JETCLAW_DATA_DIR: folder,
      OPENAI_API_KEY: "",
      OPENAI_BASE_URL: "",
      JETCLAW_MODEL: "",
    },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const npm = Number(
    await new Promise((resolve) => shell?.stdout?.once("data", (data) => resolve(`${data}`))),
  );
  const spare = endWithUs(npm);
  const ready = () =>
    fetch(`http://127.0.0.1:${port}/readyz`).then(
      ({ status }) => status === 200,
      () => false,
    );
  await waitUntil(ready, { ...LIMITS, what: "npm start to be ready" });
  const shellGone = new Promise((resolve) => shell?.once("exit", resolve));
  shell.stdin?.end();
  await shellGone;
  // Longer than it takes to find out that a parent is gone.
  const closedAt = Date.now();
  await waitUntil(() => Date.now() - closedAt > 3_000, { what: "some time without a terminal" });
  await waitUntil(ready, { ...LIMITS, what: "it to be ready without one" });

  const server = await serverPid();
  process.kill(npm, "SIGTERM");
  await waitUntil(async () => !(await ready()), { ...LIMITS, what: "the product to stop" });
  await waitUntil(() => !isAlive(server), { ...LIMITS, what: "its NATS server to stop" });
  spare();
  expect(await output()).toContain("Stopping: finishing what is held.");
});

async function serverPid(): Promise<number> {
  const record = JSON.parse(await readFile(join(folder, "nats/nats-server.json"), "utf8"));
  return (record as { server: { pid: number } }).server.pid;
}
