// Files of traffic as other programs write them, and what is said of lines that are none.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type LabelledRequest, readTraffic } from "#ops/bench/cache-traffic.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "jetclaw-traffic-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function read(text: string): Promise<LabelledRequest[]> {
  const path = join(folder, "traffic.jsonl");
  await writeFile(path, text);
  return await readTraffic(path);
}

test("a mark of the encoding, other ends of lines and further fields change nothing", async () => {
  const lines = [
    '{"n":0,"text":"Where is it?","group":"track","entity":7,"noise":false}',
    '{"text":"Hello","group":null,"noise":true,"more":{"a":1}}',
  ];
  expect(await read(`\uFEFF${lines.join("\r\n")}`)).toEqual([
    { text: "Where is it?", group: "track", entity: "7", noise: false },
    { text: "Hello", group: null, entity: null, noise: true },
  ]);
});

test("a line that is none is named with what is wrong", async () => {
  const noise = '{"text":"Hello","group":null,"noise":true}\n';
  await expect(read(`${noise}{"text"`)).rejects.toThrow(/line 2 is not JSON/);
  await expect(read(`${noise}\n{"text":"Hello","group":null}`)).rejects.toThrow(/line 3: noise: /);
});
