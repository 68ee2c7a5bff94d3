// What `npm pack` makes, as its users have it: unpacked beside the declared dependencies and nothing else, from JavaScript,
// from TypeScript and on the command line; and installed by npm into an empty folder, with a configuration and an actor of
// their own, and started. One file, because there is one dist/ to build it in.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePort } from "#test/harness/free-port.ts";
import { waitUntil } from "#test/harness/wait.ts";

const execute = promisify(execFile);
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const TSC = join(ROOT, "node_modules/typescript/bin/tsc");
const STRICT = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2024"];
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

let folder: string;
let archive: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "jetclaw-package-"));
  // What is installed here is compiled under names that never come again.
  process.env.NODE_COMPILE_CACHE = join(folder, "compiled");
  const flags = ["--conditions=jetclaw-src", "--disable-warning=ExperimentalWarning"];
  await execute(process.execPath, [...flags, "ops/bin.js", "tool", "build"], { cwd: ROOT });
  const pack = ["pack", "--ignore-scripts", "--json", "--pack-destination", folder];
  const { stdout } = await execute("npm", pack, { cwd: ROOT });
  const [{ filename = "" } = {}] = JSON.parse(stdout) as { filename?: string }[];
  archive = join(folder, filename);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function emptyProject(name: string): Promise<string> {
  const project = join(folder, name);
  await mkdir(project);
  const manifest = JSON.stringify({ name, private: true, type: "module" });
  await writeFile(join(project, "package.json"), manifest);
  return project;
}

describe("unpacked", () => {
  let project: string;
  let installed: string;
  const node = (...args: string[]) => execute(process.execPath, args, { cwd: project });

  beforeAll(async () => {
    project = await emptyProject("unpacked");
    installed = join(project, "node_modules/jetclaw");
    await mkdir(installed, { recursive: true });
    const { dependencies } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as {
      dependencies: Record<string, string>;
    };
    await execute("tar", ["-xzf", archive, "-C", installed, "--strip-components=1"]);
    for (const name of Object.keys(dependencies)) {
      const link = join(installed, "node_modules", name);
      await mkdir(dirname(link), { recursive: true });
      await symlink(join(ROOT, "node_modules", name), link);
    }
  });

  test("every entry can be imported without a flag, and gives what the examples use", async () => {
    await writeFile(
      join(project, "entries.mjs"),
      `const entries = ["jetclaw", "jetclaw/client", "jetclaw/channel", "jetclaw/testing"];
     const names = await Promise.all(entries.map(async (entry) => [entry, Object.keys(await import(entry))]));
     console.log(JSON.stringify(Object.fromEntries(names)));`,
    );
    const { stdout } = await node("entries.mjs");
    const names = JSON.parse(stdout) as Record<string, string[]>;
    expect(names.jetclaw).toEqual(
      expect.arrayContaining(["defineActor", "defineConfig", "defineTool", "env"]),
    );
    expect(names["jetclaw/client"]).toContain("createClient");
    expect(names["jetclaw/channel"]).toEqual(expect.arrayContaining(["defineChannel", "Retry"]));
    expect(names["jetclaw/testing"]?.length).toBeGreaterThan(0);
  });

  test("the declarations are found and strict", async () => {
    await writeFile(
      join(project, "use.ts"),
      `import { defineActor, defineConfig } from "jetclaw";
     import { createClient } from "jetclaw/client";
     import { defineChannel } from "jetclaw/channel";
     export const values = [defineActor, defineConfig, createClient, defineChannel];
     // @ts-expect-error: a type that is not found would be any, and would take this.
     const wrong: number = defineConfig;
     export { wrong };`,
    );
    await symlink(join(ROOT, "node_modules/@types"), join(project, "node_modules/@types"));
    await node(TSC, ...STRICT, "use.ts");
  });

  test("the command line runs from the package", async () => {
    const { stdout } = await node("node_modules/jetclaw/ops/bin.js", "--help");
    expect(stdout).toMatch(/\bup\b[\s\S]*\bstatus\b/);
  });

  test("the client can be loaded by a browser", async () => {
    const needed = await reachedFrom(installed, "dist/ops/package/client.js");
    expect(needed.filter((each) => /^(node:|@nats-io\/)/.test(each))).toEqual([]);
  });

  test("the package carries the pages, the server's configuration and no tests", async () => {
    const { stdout } = await execute("tar", ["-tzf", archive]);
    const files = stdout.trim().split("\n");
    expect(files).toEqual(
      expect.arrayContaining(["package/dist/ui/index.html", "package/nats.conf", "package/LICENSE"]),
    );
    expect(
      files.filter((file) => /(^package\/test\/|\.test\.|[^d]\.ts$|bootstrap|node_modules)/.test(file)),
    ).toEqual([]);
  });
});

describe("installed by npm", () => {
  let project: string;
  let up: ChildProcess | undefined;

  // npm itself installs here, so what the package needs but does not declare is missing.
  beforeAll(async () => {
    project = await emptyProject("shop");
    const flags = ["--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"];
    await execute("npm", ["install", ...flags, archive], { cwd: project });
    const actor = existsSync(EXAMPLE) ? await readFile(EXAMPLE, "utf8") : BASKET;
    await writeFile(join(project, "basket.actor.ts"), actor);
    await writeFile(join(project, "jetclaw.config.ts"), CONFIG);
  });
  afterAll(async () => {
    if (up?.exitCode !== null) return;
    const ended = new Promise((resolve) => up?.once("exit", resolve));
    up.kill("SIGTERM");
    await ended;
  });

  test("the configuration and its actor pass a strict type check", async () => {
    const { stdout } = await execute(
      process.execPath,
      [TSC, ...STRICT, "--allowImportingTsExtensions", "jetclaw.config.ts"],
      {
        cwd: project,
      },
    ).catch((error: { stdout: string }) => error);
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
});

/** Every module that a file of the package imports, itself or through others. */
async function reachedFrom(installed: string, file: string, seen = new Set<string>()): Promise<string[]> {
  if (seen.has(file)) return [];
  seen.add(file);
  const text = await readFile(join(installed, file), "utf8");
  const outside: string[] = [];
  for (const [, from = ""] of text.matchAll(/(?:from|import)\s+"([^"]+)"/g)) {
    const own = /^#(.+)\.ts$/.exec(from)?.[1];
    if (own !== undefined) outside.push(...(await reachedFrom(installed, `dist/${own}.js`, seen)));
    else if (from.startsWith("."))
      outside.push(...(await reachedFrom(installed, join(dirname(file), from), seen)));
    else outside.push(from);
  }
  return outside;
}
