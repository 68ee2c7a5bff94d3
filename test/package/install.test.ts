// What a user does: install the package into an empty folder, write a configuration with an actor of their own, start.
// npm itself installs here, so what the package needs but does not declare is missing.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { waitUntil } from "../harness/wait.ts";

const execute = promisify(execFile);
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const EXAMPLE = join(ROOT, "../shared/examples/basket.actor.ts");
/** The same actor, for a clone that stands alone. */
const BASKET = `import { defineActor } from "jetclaw";
import { z } from "zod";

/** Reminds a customer about an unpaid basket, once. */
export const basket = defineActor({
  kind: "basket",
  version: 1,
  state: z.object({ items: z.number(), reminded: z.boolean() }),
  messages: {
    changed: z.object({ items: z.number().int().min(0) }),
    remind: z.object({}),
  },
  initial: () => ({ items: 0, reminded: false }),
  view: (state) => ({ items: state.items }),
  on: {
    changed(actor, { items }) {
      actor.state.items = items;
      if (items > 0) actor.schedule("nudge", { afterMs: 3_600_000 }, "remind", {});
      else actor.cancel("nudge");
    },
    remind(actor) {
      if (actor.state.reminded || actor.state.items === 0) return;
      actor.state.reminded = true;
      actor.send("conversation", actor.key, "say", { text: \`You left \${actor.state.items} items in your basket.\` });
    },
  },
});
`;
const CONFIG = `import { defineConfig, defineTool } from "jetclaw";
import { z } from "zod";
import { basket } from "./basket.actor.ts";

const orderStatus = defineTool({
  name: "order_status", description: "State of one order of the signed-in customer",
  input: z.object({ order: z.string().regex(/^\\d{6}$/) }), timeoutMs: 3_000,
  run: async ({ order }, { user, signal }) => ({ order, user: user?.id, aborted: signal.aborted }),
});

export default defineConfig({
  assistants: { shop: { instructions: { en: "Be brief." }, knowledge: ["shop"], tools: [orderStatus] } },
  actors: [basket],
});
`;

let project: string;
let up: ChildProcess | undefined;

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), "jetclaw-install-"));
  const flags = ["--conditions=jetclaw-src", "--disable-warning=ExperimentalWarning"];
  await execute(process.execPath, [...flags, "ops/bin.js", "tool", "build"], { cwd: ROOT });
  const { stdout } = await execute(
    "npm",
    ["pack", "--ignore-scripts", "--json", "--pack-destination", project],
    { cwd: ROOT },
  );
  const [{ filename = "" } = {}] = JSON.parse(stdout) as { filename?: string }[];
  await writeFile(
    join(project, "package.json"),
    JSON.stringify({ name: "shop", private: true, type: "module" }),
  );
  const install = [
    "install",
    "--ignore-scripts",
    "--prefer-offline",
    "--no-audit",
    "--no-fund",
    join(project, filename),
  ];
  await execute("npm", install, { cwd: project });
  const actor = existsSync(EXAMPLE) ? await readFile(EXAMPLE, "utf8") : BASKET;
  await writeFile(join(project, "basket.actor.ts"), actor);
  await writeFile(join(project, "jetclaw.config.ts"), CONFIG);
});

afterAll(async () => {
  if (up && up.exitCode === null) {
    const ended = new Promise((resolve) => up?.once("exit", resolve));
    up.kill("SIGTERM");
    await ended;
  }
  await rm(project, { recursive: true, force: true });
});

test("the configuration and its actor pass a strict type check", async () => {
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  const options = [
    "--noEmit",
    "--strict",
    "--skipLibCheck",
    "--module",
    "nodenext",
    "--target",
    "es2024",
    "--allowImportingTsExtensions",
  ];
  const { stdout } = await execute(process.execPath, [tsc, ...options, "jetclaw.config.ts"], {
    cwd: project,
  }).catch((error: { stdout: string }) => error);
  expect(stdout).toBe("");
});

test("an actor of the user's own is told and asked over HTTP", async () => {
  const url = await startUp();
  const call = (path: string, init?: RequestInit): Promise<Response> =>
    fetch(`${url}${path}`, {
      ...init,
      headers: { authorization: "Bearer demo", "content-type": "application/json" },
    });
  const told = await call("/v1/actors/basket/ann/changed", {
    method: "POST",
    body: JSON.stringify({ items: 2 }),
  });
  expect([200, 202]).toContain(told.status);
  const shown = await call("/v1/actors/basket/ann");
  expect(await shown.json()).toEqual({ items: 2 });
});

/** `npx jetclaw up` in the project, on ports of its own. @returns its address */
async function startUp(): Promise<string> {
  const [port, natsPort] = [await freePort(), await freePort()];
  const env = {
    ...process.env,
    NODE_OPTIONS: "",
    JETCLAW_PORT: String(port),
    JETCLAW_NATS_PORT: String(natsPort),
  };
  const child = spawn(process.execPath, ["node_modules/.bin/jetclaw", "up"], {
    cwd: project,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  up = child;
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (data: Buffer) => (output += data.toString()));
  const url = `http://127.0.0.1:${port}`;
  const ready = (): Promise<boolean> =>
    fetch(`${url}/readyz`).then(
      ({ status }) => status === 200,
      () => false,
    );
  await waitUntil(
    async () => {
      if (child.exitCode !== null) throw new Error(`up ended with ${child.exitCode}:\n${output}`);
      return ready();
    },
    { timeoutMs: 180_000, pollMs: 200, what: "the installed package to be ready" },
  );
  return url;
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
