// Events in an import: told in requests that a gateway takes, and what `--prune` leaves of their documents.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { LIMITS } from "#contracts/limits.ts";
import { filesOf } from "#ops/import/files.ts";
import { Refused } from "#ops/import/format.ts";
import { type ImportReport, type ImportTarget, runImport } from "#ops/import/run.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "jetclaw-prune-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const event = (id: string, type: string, subject: string, more = 0): string =>
  JSON.stringify({
    ...{ specversion: "1.0", id, source: "/cms", type: `article.${type}`, subject },
    ...(type === "deleted" ? {} : { data: { text: `Text ${id}.${" More.".repeat(more)}` } }),
  });

/** Ids of the events of each request. */
let requests: string[][];

async function imported(lines: readonly string[]): Promise<ImportReport> {
  requests = [];
  await writeFile(join(folder, "events.jsonl"), lines.join("\n"));
  const target: ImportTarget = {
    known: async () => new Map(["one", "two", "old"].map((id) => [id, { hash: "" }])),
    async put(document) {
      if (document === "refused") throw new Refused("not this one");
      return { revision: 1 };
    },
    remove: async () => ({ revision: 1 }),
    async tell(events) {
      if (JSON.stringify(events).length > LIMITS.bodyBytes) throw new Refused("a body is too large");
      requests.push(events.map(({ id }) => id));
      return events.map(() => ({ outcome: "duplicate", revision: 1 }));
    },
  };
  return await runImport(target, {
    ...{ files: await filesOf([folder]), prune: true, dryRun: false, inFlight: 2 },
    signal: new AbortController().signal,
    onProgress: () => {},
  });
}

test("documents that came by events of these files stay", async () => {
  const { removed } = await imported([event("1", "published", "one"), event("2", "deleted", "two")]);
  expect(removed).toEqual(["old"]);
});

test("an event that cannot be read is named by its line, the others are told, and nothing is pruned", async () => {
  const lines = [event("1", "published", "one"), event("2", "seen", "two"), event("3", "published", "two")];
  const { broken, events, removed, notPruned } = await imported(lines);
  expect(broken).toEqual([{ where: "events.jsonl:2", reason: expect.stringContaining("seen") }]);
  expect(events).toEqual({ duplicate: 2 });
  expect(removed).toEqual([]);
  expect(notPruned).toMatch(/lines that cannot be read/);
});

test("events of any size are told, in their order", async () => {
  const sizes = [
    ...Array.from({ length: 150 }, () => 2_000),
    80_000,
    80_000,
    ...Array.from({ length: 250 }, () => 0),
  ];
  const lines = sizes.map((more, n) => event(`e${n}`, "published", `d${n}`, more));
  const { broken, events } = await imported(lines);
  expect(broken).toEqual([]);
  expect(events).toEqual({ duplicate: lines.length });
  expect(requests.flat()).toEqual(lines.map((_, n) => `e${n}`));
  expect(Math.max(...requests.map(({ length }) => length))).toBeLessThanOrEqual(100);
});

test("a document of a line is named by it where it is refused, or comes twice", async () => {
  const lines = ["one", "refused", "one"].map((id) => JSON.stringify({ id, text: "Text." }));
  const { broken } = await imported(lines);
  expect(new Map(broken.map(({ where, reason }) => [where, reason]))).toEqual(
    new Map([
      ["events.jsonl:2", "not this one"],
      ["events.jsonl:3", "would be the document one, which events.jsonl:1 is already"],
    ]),
  );
});
