// Files of traffic as other programs write them, what is said of lines that are none; and traffic of some intents alone, which
// reads ../shared/data and is passed over without it.
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { generateTraffic, type LabelledRequest, readTraffic } from "#ops/bench/cache-traffic.ts";

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

const data = fileURLToPath(new URL("../../../../shared/data", import.meta.url));
const generator = join(data, "../tools/cache-traffic.mjs");
if (!existsSync(generator)) console.log(`${generator} is absent: its traffic is not tried`);

test.skipIf(!existsSync(generator))(
  "only so many of a kind's intents are asked about, others by another seed",
  async () => {
    const wanted = { data, kind: "shop", mode: "bag", intents: 5 } as const;
    const groupsOf = async (seed: number): Promise<Set<string | null>> => {
      const traffic = await generateTraffic(generator, { ...wanted, seed });
      return new Set(traffic.filter(({ noise }) => !noise).map(({ group }) => group));
    };
    const some = await groupsOf(1);
    expect(some.size).toBe(5);
    expect(await groupsOf(1)).toEqual(some);
    expect(await groupsOf(2)).not.toEqual(some);
    await expect(generateTraffic(generator, { ...wanted, intents: 1_000, seed: 1 })).rejects.toThrow(
      /has \d+ intents/,
    );
  },
);
