// What `--prune` leaves: everything that the files hold, in whichever form.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { filesOf } from "#ops/import/files.ts";
import { type ImportReport, type ImportTarget, runImport } from "#ops/import/run.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "jetclaw-prune-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const event = (id: string, type: string, subject?: string): string =>
  JSON.stringify({
    ...{ specversion: "1.0", id, source: "/cms", type: `article.${type}`, subject },
    ...(type === "deleted" ? {} : { data: { text: `Text ${id}.` } }),
  });

async function pruned(lines: readonly string[]): Promise<ImportReport> {
  await writeFile(join(folder, "events.jsonl"), lines.join("\n"));
  const target: ImportTarget = {
    known: async () => new Map(["one", "two", "old"].map((id) => [id, { hash: "" }])),
    put: async () => ({ revision: 1 }),
    remove: async () => ({ revision: 1 }),
    tell: async (events) => events.map(() => ({ outcome: "duplicate", revision: 1 })),
  };
  return await runImport(target, {
    ...{ files: await filesOf([folder]), prune: true, dryRun: false, inFlight: 2 },
    signal: new AbortController().signal,
    onProgress: () => {},
  });
}

test("documents that came by events of these files stay", async () => {
  const { removed } = await pruned([event("1", "published", "one"), event("2", "deleted", "two")]);
  expect(removed).toEqual(["old"]);
});

test("nothing is pruned for an event that says of no document what became of it", async () => {
  const { removed, notPruned } = await pruned([event("1", "seen", "one")]);
  expect(removed).toEqual([]);
  expect(notPruned).toMatch(/lines that cannot be read/);
});
