// `jetclaw drain`: the process that is named hands over and ends, as the command says; the other has everything.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { configSchema } from "#contracts/config.ts";
import { PARTITIONS } from "#contracts/ids.ts";
import { readStatus } from "#ops/cli/direct.ts";
import { program } from "#ops/cli/main.ts";
import { type RunningProcess, runProcess } from "#ops/compose/process.ts";
import type { Role } from "#ops/compose/roles.ts";
import { readSettings } from "#ops/settings.ts";
import { createLog } from "#runtime/observe/log.ts";
import { startTestNats, type TestNats } from "#test/harness/nats.ts";
import { waitUntil } from "#test/harness/wait.ts";

let nats: TestNats;
let dir: string;
const running: RunningProcess[] = [];
const said: string[] = [];

async function host(weight: number, roles: readonly Role[] = ["conversation"]): Promise<RunningProcess> {
  const started = await runProcess({
    roles,
    settings: { ...readSettings(), dataDir: dir },
    config: configSchema.parse({
      assistants: { shop: { instructions: "Be brief." } },
      pools: { default: { models: [{ name: "echo", provider: "echo" }] } },
    }),
    natsUrl: nats.url,
    log: createLog({ level: "silent" }),
    say: () => {},
    weight,
  });
  running.push(started);
  return started;
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "jetclaw-drain-"));
  nats = await startTestNats();
  vi.spyOn(process.stdout, "write").mockImplementation((text) => said.push(String(text)) > 0);
  vi.spyOn(process.stderr, "write").mockImplementation(() => true);
});
afterAll(async () => {
  vi.restoreAllMocks();
  for (const each of running) await each.stop();
  await nats?.stop();
  await rm(dir, { recursive: true, force: true });
});

const hosts = async () => (await readStatus(nats.url)).placement?.hosts ?? [];
const jetclaw = async (...args: string[]) =>
  (await program(args[0])).parseAsync([...args, "--nats", nats.url], { from: "user" });

test("a host that is asked to drain hands over its share and ends; weights say who gets how much", async () => {
  const leaving = await host(1);
  await host(3);
  const small = await waitUntil(
    async () => {
      const { roles, placement } = await readStatus(nats.url);
      const light = roles.find(({ info }) => info.weight === 1)?.instance;
      return placement?.hosts.find((h) => h.host === light && h.partitions.length === 16)?.host;
    },
    { what: "shares by weight", pollMs: 100 },
  );
  // As serveUntilSignalled does for a process of its own.
  void leaving.drainAsked.then(() => leaving.stop());

  await jetclaw("drain");
  expect(said.join("")).toContain(small);
  said.length = 0;
  await jetclaw("drain", small.slice(-6), "--json");
  expect(JSON.parse(said.join(""))).toMatchObject([{ instance: small, roles: ["conversation"] }]);
  const left = await hosts();
  expect(left.map(({ partitions }) => partitions.length)).toEqual([PARTITIONS]);
  expect(left[0]?.host).not.toBe(small);
  await expect(jetclaw("drain", small)).rejects.toThrow(/no process/);
});

test("roles that hold no partitions are known by name as well", async () => {
  const beside = await host(1, ["retrieval", "invalidator"]);
  void beside.drainAsked.then(() => beside.stop());
  const { roles } = await readStatus(nats.url);
  expect(roles.map(({ role }) => role)).toEqual(expect.arrayContaining(["retrieval", "invalidator"]));
  said.length = 0;
  await jetclaw("drain", "retrieval", "--json");
  expect(JSON.parse(said.join(""))).toMatchObject([{ roles: ["retrieval", "invalidator"] }]);
});
