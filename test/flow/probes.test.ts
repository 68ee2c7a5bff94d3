// A role without a gateway: its figures and whether it takes work are read at a port of its own.
import { afterAll, beforeAll, expect, test } from "vitest";
import { configSchema } from "#contracts/config.ts";
import { serveProbes } from "#ops/compose/probes.ts";
import { type RunningProcess, runProcess } from "#ops/compose/process.ts";
import { readSettings } from "#ops/settings.ts";
import { jobOf, silentLog } from "#test/harness/inference.ts";
import { LoadWorld } from "#test/harness/load-world.ts";
import { waitUntil } from "#test/harness/wait.ts";

let world: LoadWorld;
let worker: RunningProcess;

beforeAll(async () => {
  world = await LoadWorld.start();
  worker = await runProcess({
    roles: ["worker"],
    settings: readSettings({}),
    config: configSchema.parse({
      assistants: { shop: {} },
      pools: { large: { models: [{ name: "echo", provider: "echo" }] } },
      shards: 1,
    }),
    natsUrl: world.url,
    log: silentLog,
    say: () => {},
    metricsPort: 0,
  });
});
afterAll(async () => {
  await worker?.stop();
  await world?.stop();
});

const ask = (path: string, init?: RequestInit): Promise<Response> =>
  fetch(`http://127.0.0.1:${worker.metricsPort}${path}`, init);

test("a worker says that it lives and takes work, and what it counted", async () => {
  expect(await (await ask("/healthz")).json()).toEqual({ status: "ok" });
  await waitUntil(async () => (await ask("/readyz")).ok, { what: "the worker to be ready" });
  expect((await ask("/readyz", { method: "HEAD" })).status).toBe(200);
  await world.submit(jobOf({ pool: "large", deadline: Date.now() + 60_000, stream: false }));
  await waitUntil(
    async () => /^jetclaw_jobs_total\{.*pool="large"/m.test(await (await ask("/metrics")).text()),
    {
      what: "the job in the figures",
    },
  );
});

test("anything else is refused, and so is a port that is taken, by the name of its flag", async () => {
  expect((await ask("/v1/models")).status).toBe(404);
  expect((await ask("/metrics", { method: "POST", body: "x" })).status).toBe(405);
  const taken = serveProbes("127.0.0.1", worker.metricsPort as number, () => []);
  await expect(taken).rejects.toThrow(/start\.refused.*--metrics-port/s);
});
