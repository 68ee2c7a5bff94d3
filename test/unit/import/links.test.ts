// Symbolic links in what is imported: followed, in circles too; what a lost one led to is not pruned.
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { filesOf } from "#ops/import/files.ts";
import { type ImportReport, type ImportTarget, runImport } from "#ops/import/run.ts";

let base: string;
let docs: string;
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), "jetclaw-links-"));
  docs = join(base, "docs");
  await write("docs/own.md", "docs/sub/deep.md", "shared/faq.md", "shared/more/terms.md", "single.md");
});
afterEach(() => rm(base, { recursive: true, force: true }));

async function write(...files: readonly string[]): Promise<void> {
  for (const file of files) {
    await mkdir(join(base, file, ".."), { recursive: true });
    await writeFile(join(base, file), `# ${file}\n\nText of ${file}.`);
  }
}
const link = (target: string, at: string): Promise<void> => symlink(target, join(docs, at));
const names = async (): Promise<string[]> => (await filesOf([docs])).map(({ name }) => name);

async function pruned(known: readonly string[]): Promise<ImportReport> {
  const target: ImportTarget = {
    known: async () => new Map(known.map((id) => [id, { hash: "" }])),
    put: async () => ({ revision: 1 }),
    remove: async () => ({ revision: 1 }),
    tell: async () => [],
  };
  return await runImport(target, {
    ...{ files: await filesOf([docs]), prune: true, dryRun: false, inFlight: 2 },
    signal: new AbortController().signal,
    onProgress: () => {},
  });
}

test("links to files and folders are followed, under their own names", async () => {
  await link("../single.md", "one.md");
  await link(join(base, "shared"), "shared");
  expect(await names()).toEqual([
    ...["one.md", "own.md", "shared/faq.md", "shared/more/terms.md", "sub/deep.md"],
  ]);
  const { stored, removed } = await pruned(["shared/faq", "one", "gone"]);
  expect(stored).toEqual(["one", "own", "shared/faq", "shared/more/terms", "sub/deep"]);
  expect(removed).toEqual(["gone"]);
});

test("circles end, and what is there by its own name, or by a link before, is not there twice", async () => {
  await link(".", "again");
  await link("..", "above");
  await link("sub", "a-sub");
  await link("own.md", "other.md");
  await link("../../shared", "sub/shared");
  await symlink("../../docs", join(base, "shared/more/back"));
  await symlink("loop", join(docs, "loop"));
  const own = ["own.md", "sub/deep.md"];
  const above = ["above/shared/faq.md", "above/shared/more/terms.md", "above/single.md"];
  expect(await names()).toEqual([...above, "loop", ...own]);
});

test("a file whose own name says nothing of its format comes by the link whose name does", async () => {
  await write("docs/README", "shared/current");
  await link("README", "readme.md");
  await link("../shared/current", "a-link");
  await link("../shared/current", "current.md");
  expect(await names()).toEqual(["current.md", "own.md", "readme.md", "sub/deep.md"]);
});

test("a link that leads nowhere is named, and nothing that it may have led to is pruned", async () => {
  await link("../gone.md", "lost.md");
  await link("../gone.png", "picture.png");
  const one = await pruned(["lost", "old"]);
  expect(one.broken).toEqual([{ where: "lost.md", reason: "is a link that leads nowhere", former: "lost" }]);
  expect(one.removed).toEqual(["old"]);
  await link("/nowhere/handbook", "handbook");
  const other = await pruned(["lost", "old", "handbook/one"]);
  expect(other.broken).toHaveLength(2);
  expect(other.removed).toEqual([]);
  expect(other.notPruned).toMatch(/links that lead nowhere/);
});

test("what belongs to tools, and what is of no format, is passed over and told; by its own name it is taken", async () => {
  await write("docs/node_modules/x/README.md", "docs/.git/notes.md", "docs/.draft.md", "docs/prices.CSV");
  const told: string[] = [];
  const found = await filesOf([docs], (kind) => told.push(kind));
  expect(found.map(({ name }) => name)).toEqual(["own.md", "sub/deep.md"]);
  expect(told.sort()).toEqual([".csv", ".draft.md", ".git", "node_modules"]);
  const named = await filesOf([join(docs, ".draft.md"), join(docs, "node_modules")]);
  expect(named.map(({ name }) => name)).toEqual([".draft.md", "x/README.md"]);
});
