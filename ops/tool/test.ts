// Runs the tests: gets the real parts they need first, says which, and leaves the rest to vitest.
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

export async function test(args: string[]): Promise<void> {
  await vitest(PROJECTS, args, await prepare());
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
