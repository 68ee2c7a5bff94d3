// `jetclaw up` as a user meets it: ready, answering, stopping, refusing, and coming back after kill -9.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { freePort } from "#test/harness/free-port.ts";
import { isAlive } from "#test/harness/reaping.ts";
import { waitUntil } from "../harness/wait.ts";

const BIN = fileURLToPath(new URL("../../ops/bin.js", import.meta.url));
let folder: string;
const children: Up[] = [];

interface Up {
  readonly process: ChildProcess;
  readonly output: () => string;
  readonly exited: Promise<number | null>;
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "jetclaw-up-"));
});
afterEach(async () => {
  for (const { process: child, exited } of children.splice(0)) {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
    await exited;
  }
  await rm(folder, { recursive: true, force: true });
});

/** What a developer's shell may hold: data of one's own, above all. */
const UNSET = {
  JETCLAW_CONFIG: "",
  JETCLAW_DATA_DIR: "",
  JETCLAW_MODEL: "",
  JETCLAW_NATS_URL: "",
  OPENAI_API_KEY: "",
  OPENAI_BASE_URL: "",
};

function jetclaw(args: readonly string[], environment: Record<string, string>): Up {
  const child = spawn(process.execPath, ["--conditions=jetclaw-src", BIN, ...args], {
    cwd: folder,
    env: { ...process.env, ...UNSET, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (data: Buffer) => {
      output += data.toString();
    });
  const up = {
    process: child,
    output: () => output,
    exited: new Promise<number | null>((resolve) => child.once("exit", resolve)),
  };
  children.push(up);
  return up;
}

async function addresses(): Promise<{ url: string; environment: Record<string, string> }> {
  const [port, natsPort] = [await freePort(), await freePort()];
  return {
    url: `http://127.0.0.1:${port}`,
    environment: {
      JETCLAW_PORT: String(port),
      JETCLAW_NATS_PORT: String(natsPort),
      JETCLAW_URL: `http://127.0.0.1:${port}`,
    },
  };
}

async function becomesReady(up: Up, url: string): Promise<void> {
  let said = "";
  await waitUntil(
    async () => {
      if (up.process.exitCode !== null) throw new Error(`ended:\n${up.output()}`);
      const response = await fetch(`${url}/readyz`).catch(() => undefined);
      said = (await response?.text()) ?? "nothing";
      return response?.status === 200;
    },
    { timeoutMs: 120_000, pollMs: 100, what: "up to be ready" },
  ).catch((error: Error) => {
    throw new Error(`${error.message}; /readyz said ${said}, and the process:\n${up.output()}`);
  });
}

const ask = async (
  url: string,
  session: string,
): Promise<{ reply: string; citations: unknown[]; turn: number }> => {
  const response = await fetch(`${url}/v1/conversations/${session}/messages`, {
    method: "POST",
    headers: { authorization: "Bearer demo", "content-type": "application/json" },
    body: JSON.stringify({ text: "How long does delivery take?" }),
  });
  return (await response.json()) as { reply: string; citations: unknown[]; turn: number };
};

async function natsPid(): Promise<number> {
  const record = JSON.parse(await readFile(join(folder, ".jetclaw/nats/nats-server.json"), "utf8")) as {
    server: { pid: number };
  };
  return record.server.pid;
}

test("answers from the demo knowledge, drains on SIGTERM and takes its server along", async () => {
  const { url, environment } = await addresses();
  const up = jetclaw(["up"], environment);
  await becomesReady(up, url);
  expect(await ask(url, "ann")).toMatchObject({
    turn: 1,
    citations: [{ collection: "shop", document: "delivery-en" }],
  });
  expect(up.output()).toContain(url);

  const status = jetclaw(["status", "--json"], environment);
  expect(await status.exited).toBe(0);
  expect(JSON.parse(status.output())).toMatchObject({ placement: { unowned: [] } });

  const pid = await natsPid();
  up.process.kill("SIGTERM");
  expect(await up.exited).toBe(0);
  expect(isAlive(pid)).toBe(false);
});

test("goes on after kill -9 with what was acknowledged, and with the server that was left behind", async () => {
  const { url, environment } = await addresses();
  const first = jetclaw(["up"], environment);
  await becomesReady(first, url);
  expect((await ask(url, "ann")).turn).toBe(1);
  const pid = await natsPid();
  first.process.kill("SIGKILL");
  await first.exited;
  expect(isAlive(pid)).toBe(true);

  const second = jetclaw(["up"], environment);
  await becomesReady(second, url);
  expect(await natsPid()).toBe(pid);
  expect((await ask(url, "ann")).turn).toBe(2);
});

test("a port in use is refused with a next step, and nothing stays behind", async () => {
  const { environment } = await addresses();
  const holder = createServer().listen(Number(environment.JETCLAW_PORT), "127.0.0.1");
  const up = jetclaw(["up"], environment);
  expect(await up.exited).toBe(1);
  expect(up.output()).toMatch(/start\.refused: port \d+ .* in use.*JETCLAW_PORT/);
  await expect(natsPid()).rejects.toThrow();
  holder.close();
});

test("what is typed wrongly is named, with exit code 2", async () => {
  const run = jetclaw(["run", "foo"], {});
  expect(await run.exited).toBe(2);
  expect(run.output()).toMatch(/unknown role "foo"[\s\S]*gateway, conversation, worker, invalidator/);
  const typo = jetclaw(["stauts"], {});
  expect(await typo.exited).toBe(2);
  expect(typo.output()).toContain("status");
});
