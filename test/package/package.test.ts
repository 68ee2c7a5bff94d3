// What `npm pack` makes is installed into an empty project, with its declared dependencies and nothing else, and used
// there as its users do: from JavaScript, from TypeScript and on the command line.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";

const execute = promisify(execFile);
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
let project: string;
let installed: string;

function node(...args: string[]) {
  return execute(process.execPath, args, { cwd: project, timeout: 180_000 });
}

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), "jetclaw-package-"));
  installed = join(project, "node_modules/jetclaw");
  await mkdir(installed, { recursive: true });
  const flags = ["--conditions=jetclaw-src", "--disable-warning=ExperimentalWarning"];
  await execute(process.execPath, [...flags, "ops/bin.js", "tool", "build"], { cwd: ROOT });
  await execute("npm", ["pack", "--ignore-scripts", "--pack-destination", project], { cwd: ROOT });
  const { dependencies, version } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as {
    dependencies: Record<string, string>;
    version: string;
  };
  const archive = join(project, `jetclaw-${version}.tgz`);
  await execute("tar", ["-xzf", archive, "-C", installed, "--strip-components=1"]);
  for (const name of Object.keys(dependencies)) {
    const link = join(installed, "node_modules", name);
    await mkdir(dirname(link), { recursive: true });
    await symlink(join(ROOT, "node_modules", name), link);
  }
  await writeFile(join(project, "package.json"), JSON.stringify({ name: "shop", type: "module" }));
});

afterAll(() => rm(project, { recursive: true, force: true }));

test("every entry can be imported without a flag, and gives what the examples use", async () => {
  await writeFile(
    join(project, "entries.mjs"),
    `const entries = ["jetclaw", "jetclaw/client", "jetclaw/channel", "jetclaw/testing"];
     const names = await Promise.all(entries.map(async (entry) => [entry, Object.keys(await import(entry))]));
     console.log(JSON.stringify(Object.fromEntries(names)));`,
  );
  const { stdout } = await node("entries.mjs");
  const names = JSON.parse(stdout) as Record<string, string[]>;
  expect(names.jetclaw).toEqual(expect.arrayContaining(["defineActor", "defineConfig", "defineTool", "env"]));
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
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  const options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2024"];
  await node(tsc, ...options, "use.ts");
});

test("the command line runs from the package", async () => {
  const { stdout } = await node("node_modules/jetclaw/ops/bin.js", "--help");
  expect(stdout).toMatch(/\bup\b[\s\S]*\bstatus\b/);
});

test("the client can be loaded by a browser", async () => {
  const needed = await reachedFrom("dist/ops/package/client.js");
  expect(needed.filter((each) => /^(node:|@nats-io\/)/.test(each))).toEqual([]);
});

test("the package carries the pages, the server's configuration and no tests", async () => {
  const { stdout } = await execute("tar", ["-tzf", await archiveName()], { cwd: project });
  const files = stdout.trim().split("\n");
  expect(files).toEqual(
    expect.arrayContaining(["package/dist/ui/index.html", "package/nats.conf", "package/LICENSE"]),
  );
  expect(
    files.filter((file) => /(^package\/test\/|\.test\.|[^d]\.ts$|bootstrap|node_modules)/.test(file)),
  ).toEqual([]);
});

async function archiveName(): Promise<string> {
  const { version } = JSON.parse(await readFile(join(installed, "package.json"), "utf8")) as {
    version: string;
  };
  return `jetclaw-${version}.tgz`;
}

/** Every module that a file of the package imports, itself or through others. */
async function reachedFrom(file: string, seen = new Set<string>()): Promise<string[]> {
  if (seen.has(file)) return [];
  seen.add(file);
  const text = await readFile(join(installed, file), "utf8");
  const outside: string[] = [];
  for (const [, from = ""] of text.matchAll(/(?:from|import)\s+"([^"]+)"/g)) {
    const own = /^#(.+)\.ts$/.exec(from)?.[1];
    if (own !== undefined) outside.push(...(await reachedFrom(`dist/${own}.js`, seen)));
    else if (from.startsWith(".")) outside.push(...(await reachedFrom(join(dirname(file), from), seen)));
    else outside.push(from);
  }
  return outside;
}
