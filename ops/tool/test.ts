// Runs the tests: gets the real parts they need first, says which, and leaves the rest to vitest.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { readSettings } from "#ops/settings.ts";
import { ensureNatsServer } from "#runtime/nats/server.ts";
import { ensureChromium } from "./chromium.ts";
import { ROOT, runNode, say, scriptOf } from "./process.ts";
import { ensureUi } from "./ui.ts";

const TEST_LIMIT_MS = 20 * 60_000;
/** A fault run names its own length; this only ends one that hangs. */
const FAULT_LIMIT_MS = 3 * 3_600_000;
const PROJECTS = ["unit", "conformance", "flow", "package"];

/** What the same tests run against where Docker is: the server as its makers ship it. */
const NATS_IMAGE = "nats:2.15";
/** Left out there: they signal the server's process or start a binary of their own. */
const PROCESS_TESTS = ["**/nats-server.test.ts", "**/faults.test.ts", "**/kill-everything.test.ts"];

export async function test(args: string[]): Promise<void> {
  const env = await prepare();
  await vitest(PROJECTS, args, env);
  // Named files are somebody's own choice; options alone still mean everything.
  if (process.exitCode || args.some((arg) => !arg.startsWith("-"))) return;
  const missing = dockerMissing();
  if (missing) return say(`Not run against the official image ${NATS_IMAGE}: ${missing}`);
  say(`The same on the official image ${NATS_IMAGE}:`);
  const exclude = PROCESS_TESTS.flatMap((pattern) => ["--exclude", pattern]);
  await vitest(["conformance", "flow"], exclude, { ...env, JETCLAW_TEST_NATS_IMAGE: NATS_IMAGE });
}

function dockerMissing(): string | undefined {
  const { error, status } = spawnSync("docker", ["info"], { stdio: "ignore", timeout: 10_000 });
  if (error) return "docker is not installed.";
  return status === 0 ? undefined : "no Docker engine answers.";
}

export async function e2e(args: string[]): Promise<void> {
  const chromium = await ensureChromium(say);
  if ("reason" in chromium) {
    say(`Browser tests are skipped: ${chromium.reason}`);
    return;
  }
  await vitest(["e2e"], args, { ...(await prepare()), CHROMIUM_BIN: chromium.path });
}

export async function fault(args: string[]): Promise<void> {
  const entry = join(ROOT, "test/fault/main.ts");
  if (!existsSync(entry)) throw new Error(`There is no ${entry}.`);
  const env = { NATS_SERVER_BIN: await natsServer() };
  const { code } = await runNode([...process.execArgv, entry, ...args], {
    output: "show",
    limitMs: FAULT_LIMIT_MS,
    env,
  });
  process.exitCode = code;
}

/** Tests get the server's path by the variable that an operator would set. */
async function prepare(): Promise<Record<string, string>> {
  const [bin] = await Promise.all([natsServer(), ensureUi({ log: say })]);
  return { NATS_SERVER_BIN: bin };
}

function natsServer(): Promise<string> {
  const { natsServerBin, cacheDir } = readSettings();
  return ensureNatsServer({ log: say, given: natsServerBin, cacheDir });
}

async function vitest(
  projects: readonly string[],
  args: string[],
  env: Record<string, string>,
): Promise<void> {
  const chosen = projects.flatMap((name) => ["--project", name]);
  const command = [scriptOf("vitest"), "run", "--config", "test/vitest.config.ts", ...chosen, ...args];
  const { code } = await runNode(command, { output: "show", limitMs: TEST_LIMIT_MS, env });
  process.exitCode = code;
}
