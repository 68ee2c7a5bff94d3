// `jetclaw sessions` and `jetclaw dead` as an operator types them: through a real gateway, and over NATS without one.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { encode } from "#contracts/codec.ts";
import { configSchema } from "#contracts/config.ts";
import { BUCKETS, CORE, modelHealthKey } from "#contracts/subjects.ts";
import { CHECKS } from "#ops/cli/doctor/checks.ts";
import { program } from "#ops/cli/main.ts";
import { type RunningProcess, runProcess } from "#ops/compose/process.ts";
import { readSettings } from "#ops/settings.ts";
import { connectBus } from "#runtime/nats/connect.ts";
import { Kv } from "#runtime/nats/kv.ts";
import { createLog } from "#runtime/observe/log.ts";
import { announce } from "#runtime/observe/presence.ts";
import { counter, mended } from "#test/harness/counter.ts";
import { startTestNats, type TestNats } from "#test/harness/nats.ts";
import { waitUntil } from "#test/harness/wait.ts";

let nats: TestNats;
let dir: string;
let running: RunningProcess;
const logged: Record<string, unknown>[] = [];
let out = "";

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "jetclaw-operator-"));
  nats = await startTestNats();
  running = await runProcess({
    roles: ["gateway", "conversation", "worker"],
    settings: { ...readSettings({}), dataDir: dir, port: 0 },
    config: configSchema.parse({
      assistants: { shop: { instructions: "Be brief." } },
      pools: { default: { models: [{ name: "echo", provider: "echo" }] } },
      actors: [counter],
    }),
    natsUrl: nats.url,
    log: createLog({ level: "warn", destination: { write: (line) => void logged.push(JSON.parse(line)) } }),
    say: () => {},
  });
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    out += String(text);
    return true;
  });
  vi.spyOn(process.stderr, "write").mockImplementation(() => true);
});
beforeEach(() => {
  out = "";
});
afterAll(async () => {
  vi.restoreAllMocks();
  await running?.stop();
  await nats?.stop();
  if (dir) await rm(dir, { recursive: true, force: true });
});

type Way = () => string[];
const overHttp: Way = () => ["--url", running.url as string, "--key", "demo"];
const overNats: Way = () => ["--nats", nats.url];

/** @returns what it wrote to standard output */
async function jetclaw(way: Way, ...args: string[]): Promise<string> {
  out = "";
  await (await program(args[0])).parseAsync([...args, ...way()], { from: "user" });
  return out;
}
const jsonOf = async <T>(way: Way, ...args: string[]): Promise<T> =>
  JSON.parse(await jetclaw(way, ...args, "--json")) as T;

async function post(path: string, body: unknown, key = "demo"): Promise<Response> {
  return fetch(`${running.url}/v1/${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}
const say = async (session: string, text: string): Promise<void> =>
  expect((await post(`conversations/${session}/messages`, { text })).status).toBe(200);
const letters = async (way: Way, ...filter: string[]) =>
  (await jsonOf<{ letters: { reference: string; key: string }[] }>(way, "dead", "ls", ...filter)).letters;

/** Messages that become dead letters of these actors. */
async function failAll(...keys: string[]): Promise<void> {
  for (const key of keys)
    expect((await post(`actors/counter/${key}/flaky`, { name: key })).status).toBeLessThan(500);
  await waitUntil(
    async () => {
      const dead = await letters(overNats, "--kind", "counter");
      return keys.every((key) => dead.some((letter) => letter.key === key));
    },
    { what: `dead letters of ${keys.join()}`, pollMs: 200 },
  );
}

test.each([
  ["HTTP", overHttp],
  ["NATS", overNats],
])("conversations are listed, shown and erased over %s", async (name, way) => {
  const [a, b] = [`ann-${name}`, `bob-${name}`];
  await say(a, "Hello there");
  await say(b, "Hello");
  const table = await jetclaw(way, "sessions", "ls", "--tenant", "demo");
  expect(table.split("\n")[0]).toMatch(/^TENANT +SESSION +STATUS +TURNS +CHANNEL +SINCE +BYTES$/);
  for (const session of [a, b])
    expect(table).toMatch(new RegExp(`^demo +${session} +idle +1 +web +\\d`, "m"));

  const { sessions } = await jsonOf<{ sessions: unknown[] }>(way, "sessions", "ls", "--limit", "1");
  expect(sessions).toHaveLength(1);
  expect(await jsonOf(way, "sessions", "ls", "--tenant", "nobody")).toEqual({ sessions: [] });
  await expect(jetclaw(way, "sessions", "ls", "--limit", "1.5")).rejects.toThrow(/whole number/);

  expect(await jetclaw(way, "sessions", "show", a)).toContain("1 > Hello there");
  const receipt = (await jetclaw(way, "sessions", "erase", a)).trim();
  expect(receipt).toMatch(/^conversation\.demo\./);
  for (const gone of [a, "nobody"])
    for (const action of ["show", "erase"])
      await expect(jetclaw(way, "sessions", action, gone)).rejects.toMatchObject({
        code: "session.not-found",
      });
  expect(await jetclaw(way, "sessions", "ls")).toMatch(new RegExp(`^demo +${a} +erased`, "m"));
  expect(await jsonOf(way, "sessions", "show", b)).toMatchObject({ session: b, turns: [{ turn: 1 }] });
});

test.each([
  ["HTTP", overHttp],
  ["NATS", overNats],
])("dead letters are listed, shown, returned and dropped over %s, one by one and all", async (name, way) => {
  const [one, two, three] = [`one-${name}`, `two-${name}`, `three-${name}`];
  await failAll(one, two, three);
  const table = await jetclaw(way, "dead", "ls", "--kind", "counter");
  expect(table.split("\n")[0]).toMatch(/^REFERENCE +AT +TENANT +KIND +KEY +MESSAGE +ATTEMPTS +REASON$/);
  expect(table).toMatch(new RegExp(`demo +counter +${one} +flaky +5 +${one} is not mended yet`));

  const [letter] = await letters(way, "--session", one, "--since", "1h", "--limit", "1");
  const reference = letter?.reference as string;
  expect(await jetclaw(way, "dead", "show", reference)).toContain(`${one} is not mended yet`);
  await expect(jetclaw(way, "dead", "redrive")).rejects.toMatchObject({ exitCode: 2 });
  await expect(jetclaw(way, "dead", "redrive", reference, "--all")).rejects.toMatchObject({ exitCode: 2 });

  mended.add(one);
  expect(await jsonOf(way, "dead", "redrive", reference)).toEqual({
    results: [{ reference, result: "redriven" }],
  });
  await expect(jetclaw(way, "dead", "show", reference)).rejects.toMatchObject({ code: "dead.not-found" });
  await waitUntil(
    async () => {
      const response = await fetch(`${running.url}/v1/actors/counter/${one}`, {
        headers: { authorization: "Bearer demo" },
      });
      return ((await response.json()) as { count?: number }).count === 1;
    },
    { what: "the returned message to be done" },
  );

  // The filter says which: the other letter stays.
  mended.add(two);
  const bulk = await jsonOf<{ results: unknown[] }>(way, "dead", "redrive", "--all", "--session", two);
  expect(bulk.results).toMatchObject([{ result: "redriven" }]);
  expect((await letters(way, "--kind", "counter")).map(({ key }) => key)).toEqual([three]);
  expect(await jsonOf(way, "dead", "rm", "--all", "--kind", "basket")).toEqual({ results: [] });
  expect(await jsonOf(way, "dead", "rm", "--all")).toMatchObject({ results: [{ result: "dropped" }] });
  expect(await letters(way)).toEqual([]);
});

test("a key without the scope sees nothing of it", async () => {
  const key = (await jetclaw(overNats, "keys", "create", "--tenant", "acme")).trim();
  const way: Way = () => ["--url", running.url as string, "--key", key];
  for (const [command = "", ...rest] of [
    ["sessions", "ls"],
    ["sessions", "show", "x"],
    ["sessions", "erase", "x"],
    ["dead", "ls"],
    ["dead", "show", "x"],
    ["dead", "redrive", "x"],
    ["dead", "rm", "x"],
    ["cache", "status"],
  ])
    await expect(jetclaw(way, command, ...rest)).rejects.toMatchObject({ code: "auth.forbidden" });
});

test("who looks at a server without a deployment is told so and makes nothing there; the first key makes it", async () => {
  const empty = await startTestNats();
  const there: Way = () => ["--nats", empty.url];
  try {
    for (const command of ["status", "level", "dead ls", "sessions ls", "keys ls", "cache status"])
      await expect(jetclaw(there, ...command.split(" ")), command).rejects.toThrow(/deployment.missing/);
    const bus = await connectBus({ servers: empty.url, name: "looks", log: createLog({ level: "silent" }) });
    expect((await bus.jsm.streams.names().next()).length).toBe(0);
    await bus.close();
    await jetclaw(there, "keys", "create", "--tenant", "acme");
    expect(await jetclaw(there, "keys", "ls")).toContain("acme");
  } finally {
    await empty.stop();
  }
});

test("doctor names the pools that turns are sent to and nobody serves; one that is a fallback alone needs no worker", async () => {
  const echo = { models: [{ name: "echo", provider: "echo" }] };
  const [, check] = CHECKS.find(([name]) => name === "workers") ?? [];
  const found = async (pools: object, rest: object = {}) => {
    const path = join(dir, "jetclaw.config.json");
    await writeFile(path, JSON.stringify({ pools, ...rest }));
    const patient = { natsUrl: nats.url, named: { nats: true } };
    return await check?.({ ...patient, settings: readSettings({ JETCLAW_CONFIG: path }) } as never);
  };
  const pools = { default: { ...echo, fallback: ["spare"] }, spare: echo };
  expect(await found(pools)).toEqual({ state: "ok", found: "1, for default" });
  const routing = { rules: [{ when: { keywords: ["refund"] }, pool: "large" }] };
  const degraded = { ...pools, default: { ...pools.default, degradeTo: "tiny" }, tiny: echo, large: echo };
  expect(await found(degraded, { routing })).toMatchObject({
    state: "warn",
    found: expect.stringContaining("nobody serves tiny, large:"),
    next: "jetclaw run worker --pool tiny large",
  });
});

test("an assistant that there is not is answered by the first, and told: counted each time, logged once", async () => {
  const asking = async (session: string, assistant: string): Promise<void> => {
    const answer = await post(`conversations/${session}/messages`, { text: "Hello", assistant });
    expect(await answer.json()).toMatchObject({ turn: 1, reply: expect.stringContaining("Hello") });
  };
  for (const session of ["typo-1", "typo-2"]) await asking(session, "shpo");
  await asking("typo-3", "shop");
  const told = logged.filter(({ msg }) => String(msg).startsWith("no assistant has the name"));
  expect(told).toMatchObject([{ asked: "shpo", by: "shop" }]);
  const metrics = await (await fetch(`${running.url}/metrics`)).text();
  expect(metrics).toMatch(/^jetclaw_missing_assistants_total\{.*\} 2 /m);
});

test("doctor tells of a level that is held and of models that fail", async () => {
  const [, check] = CHECKS.find(([name]) => name === "load") ?? [];
  const path = join(dir, "jetclaw.config.json");
  await writeFile(
    path,
    JSON.stringify({ pools: { default: { models: [{ name: "m", provider: "echo" }] } } }),
  );
  const settings = readSettings({ JETCLAW_CONFIG: path });
  const found = async () => await check?.({ natsUrl: nats.url, named: { nats: true }, settings } as never);
  expect(await found()).toEqual({ state: "ok", found: "level 0" });
  await jetclaw(overNats, "level", "1", "--reason", "a launch");
  expect(await found()).toMatchObject({ state: "warn", found: expect.stringMatching(/^level 1 \(.*launch/) });
  await jetclaw(overNats, "level", "auto", "--reason", "it is over");
  const bus = await connectBus({ servers: nats.url, name: "sick", log: createLog({ level: "silent" }) });
  const health = {
    pool: "default",
    model: "m",
    worker: "w",
    at: 0,
    lifetimeMs: 60_000,
    breaker: "open",
    limit: 1,
  };
  const figures = { inFlight: 0, firstTokenMs: 0, totalMs: 0, tokensPerSecond: 0, requestsPerSecond: 0 };
  const bucket = new Kv(bus, BUCKETS.models);
  await bucket.put(modelHealthKey(health), encode({ ...health, ...figures, errorShare: 1 }));
  expect(await found()).toMatchObject({
    state: "warn",
    found: expect.stringContaining("fails"),
    next: expect.stringContaining("model failed"),
  });
  await bus.close();
});

test("doctor tells of a clock that is wrong, and of a deployment that nobody holds conversations in", async () => {
  const check = (name: string, natsUrl: string) =>
    CHECKS.find(([each]) => each === name)?.[1]({
      natsUrl,
      named: { nats: true },
      settings: readSettings({}),
    } as never);
  expect(await check("clocks", nats.url)).toEqual({ state: "ok", found: "agree" });
  const bus = await connectBus({ servers: nats.url, name: "late", log: createLog({ level: "silent" }) });
  const beat = { role: "worker", instance: "w", startedAt: 0, draining: false, everyMs: 60_000 };
  const late = {
    ...beat,
    where: "gpu-1/7",
    sentAt: Date.now() + 3_600_000,
    info: { pools: "other", slots: 1 },
  };
  bus.subscribe(CORE.rollCall, () => bus.publish(CORE.roleHeartbeat("worker"), encode(late)));
  await bus.flush();
  expect(await check("clocks", nats.url)).toMatchObject({
    state: "fail",
    found: expect.stringMatching(/^gpu-1\/7 is 3[56]\d\d s ahead/),
    next: expect.stringContaining("NTP"),
  });
  await bus.close();

  const other = await startTestNats();
  const alone = await connectBus({ servers: other.url, name: "alone", log: createLog({ level: "silent" }) });
  const worker = announce(
    alone,
    { role: "worker", instance: "w" },
    () => ({ pools: "default" }),
    () => false,
  );
  expect(await check("workers", other.url)).toMatchObject({
    state: "fail",
    found: expect.stringContaining("no process holds conversations"),
    next: "jetclaw run conversation",
  });
  worker.stop();
  await alone.close();
  await other.stop();
});
