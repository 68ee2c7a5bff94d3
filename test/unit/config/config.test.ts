import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { modelsOf } from "#ops/config/model.ts";
import { type LoadedConfig, loadConfig } from "#ops/config.ts";
import { readSettings, splitNatsUrl } from "#ops/settings.ts";
import { type Simulator, startSimulator } from "#ops/simulator/server.ts";

const execute = promisify(execFile);
const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const EXAMPLE = fileURLToPath(new URL("../../../../shared/examples/jetclaw.config.ts", import.meta.url));
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "jetclaw-config-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const load = (environment: Record<string, string> = {}, callsModels = true): Promise<LoadedConfig> =>
  loadConfig(readSettings({ ...environment }), { callsModels });

async function loadText(name: string, text: string, callsModels = true): Promise<LoadedConfig> {
  const path = join(folder, name);
  await writeFile(path, text);
  return load({ JETCLAW_CONFIG: path }, callsModels);
}

describe("without a file", () => {
  test("kb-extract answers for the demo shop", async () => {
    const { config, path, notices } = await load();
    expect(path).toBeUndefined();
    expect(notices).toEqual([]);
    expect(config.pools.default?.models).toMatchObject([{ name: "kb-extract", provider: "kb-extract" }]);
    expect(Object.keys(config.assistants)).toEqual(["shop"]);
    expect(config.assistants.shop).toMatchObject({
      knowledge: ["shop"],
      instructions: { en: expect.any(String), nl: expect.any(String) },
    });
  });

  test("a key and a model name are a pool at OpenAI", async () => {
    const { config } = await load({ OPENAI_API_KEY: "sk-test", JETCLAW_MODEL: "gpt-5-mini" });
    expect(config.pools.default?.models).toMatchObject([
      { name: "gpt-5-mini", provider: "openai", baseUrl: "https://api.openai.com/v1", apiKey: "sk-test" },
    ]);
  });

  test("a command that needs no model does not depend on the servers of models", async () => {
    const silent = "http://127.0.0.1:1/v1";
    const settings = readSettings({ OPENAI_BASE_URL: silent, JETCLAW_EMBEDDINGS_URL: silent });
    const { config } = await loadConfig(settings, { callsModels: false, asks: "nothing" });
    expect(Object.keys(config.pools)).toEqual(["default"]);
    await expect(loadConfig(settings, { callsModels: false })).rejects.toThrow(/OPENAI_BASE_URL/);
    await expect(loadConfig(settings, { callsModels: false, asks: "embeddings" })).rejects.toThrow(
      /does not answer.*JETCLAW_EMBEDDINGS_URL/,
    );
  });

  test("a key alone spends no money, and says so", async () => {
    const { config, notices } = await load({ OPENAI_API_KEY: "sk-test" });
    expect(config.pools.default?.models[0]?.name).toBe("kb-extract");
    expect(notices.join()).toContain("JETCLAW_MODEL");
  });
});

describe("with a model server", () => {
  let simulator: Simulator;
  beforeAll(async () => {
    simulator = await startSimulator({ port: 0, models: ["small"] });
  });
  afterAll(() => simulator.stop());

  test("its only model is taken", async () => {
    simulator.set({ models: ["small"] });
    const { config } = await load({ OPENAI_BASE_URL: simulator.baseUrl });
    expect(config.pools.default?.models).toMatchObject([{ name: "small", baseUrl: simulator.baseUrl }]);
  });

  test("a server whose address lacks http:// is refused before anything is started", async () => {
    await expect(load({ OPENAI_BASE_URL: "localhost:8000/v1", JETCLAW_MODEL: "large" })).rejects.toThrow(
      /OPENAI_BASE_URL is "localhost:8000/,
    );
  });

  test("a slash at the end of its address is none too many", async () => {
    expect(await modelsOf(`${simulator.baseUrl}/`, undefined)).toEqual(["small"]);
  });

  test("several models are listed, and one has to be named", async () => {
    simulator.set({ models: ["small", "large"] });
    await expect(load({ OPENAI_BASE_URL: simulator.baseUrl })).rejects.toThrow(
      /2 models: small, large; set JETCLAW_MODEL/,
    );
    const { config } = await load({ OPENAI_BASE_URL: simulator.baseUrl, JETCLAW_MODEL: "large" });
    expect(config.pools.default?.models[0]?.name).toBe("large");
  });

  test("a server that does not answer is named", async () => {
    await expect(load({ OPENAI_BASE_URL: "http://127.0.0.1:9/v1" })).rejects.toThrow(
      /127\.0\.0\.1:9.*does not answer/,
    );
  });
});

describe("a file", () => {
  const pool = (apiKey: string): string =>
    `{ "pools": { "p": { "models": [{ "name": "m", "baseUrl": "http://127.0.0.1:1/v1", "apiKey": ${apiKey} }] } } }`;

  test("secrets come from the environment, and only where models are called", async () => {
    process.env.JETCLAW_TEST_SECRET = "from-env";
    const text = pool('{ "env": "JETCLAW_TEST_SECRET" }');
    expect((await loadText("a.json", text)).config.pools.p?.models[0]?.apiKey).toBe("from-env");
    delete process.env.JETCLAW_TEST_SECRET;
    await expect(loadText("a.json", text)).rejects.toThrow(/JETCLAW_TEST_SECRET, which is not set/);
    expect((await loadText("a.json", text, false)).config.pools.p?.models[0]?.name).toBe("m");
  });

  test("secrets come from files", async () => {
    await writeFile(join(folder, "key"), "from-file\n");
    const { config } = await loadText("a.json", pool(JSON.stringify({ file: join(folder, "key") })));
    expect(config.pools.p?.models[0]?.apiKey).toBe("from-file");
    await writeFile(join(folder, "key"), "\n");
    await expect(loadText("a.json", pool(JSON.stringify({ file: join(folder, "key") })))).rejects.toThrow(
      /key, which is empty/,
    );
  });

  test("a file may begin with a byte order mark", async () => {
    expect((await loadText("a.json", '\uFEFF{ "idleMinutes": 7 }')).config.idleMinutes).toBe(7);
  });

  test.each([
    ["that throws", "const a: number = 1;\n\nthrow new Error('out of order');", /:3 cannot .*out of order/],
    ["with a mistake", "export default {\n  assistants: {},\n  pools: {}};;;;\n}", /:4 cannot /],
    [
      "of what needs compiling",
      "const a: number = 1;\nenum Colour { Red }\nexport default {};",
      /:2 cannot /,
    ],
    ["with a missing import", "import './none.ts';\nexport default {};", /cannot be loaded: .*none\.ts/s],
  ])("TypeScript %s is told with its line", async (_, text, told) => {
    const path = join(folder, "jetclaw.config.ts");
    await writeFile(path, text);
    await expect(
      inAProcess(`await loadConfig(readSettings(), { callsModels: true });`, path),
    ).rejects.toThrow(told);
  });

  test("mistakes are named by their place", async () => {
    await expect(loadText("a.json", `{ "asistants": {} }`)).rejects.toThrow(
      /no key "asistants"; there are assistants, pools/,
    );
    await expect(loadText("a.json", `{ "assistants": { "a": { "modle": "m" } } }`)).rejects.toThrow(
      /no key "modle"; there are .*model.*assistants\.a/s,
    );
    await expect(loadText("b.json", `{ "assistants": { "a": { "model": "nope" } } }`)).rejects.toThrow(
      /assistants\.a\.model is "nope"/,
    );
    await expect(loadText("c.json", "{")).rejects.toThrow(/is no JSON/);
    await expect(loadText("d.json", `{ "actors": [{}] }`)).rejects.toThrow(
      /actors\[0\] is not what defineActor makes/,
    );
    await expect(load({ JETCLAW_CONFIG: join(folder, "none.ts") })).rejects.toThrow(/there is no file/);
  });

  test("a model without an address is refused", async () => {
    await expect(loadText("a.json", `{ "pools": { "p": { "models": [{ "name": "m" }] } } }`)).rejects.toThrow(
      /"m" has no baseUrl/,
    );
  });
});

/** Here the test runner resolves imports, there Node does, as for a user. @returns what it wrote */
async function inAProcess(script: string, configPath: string): Promise<string> {
  const imports = `
    const { loadConfig } = await import("#ops/config.ts");
    const { readSettings } = await import("#ops/settings.ts");`;
  const { stdout } = await execute(
    process.execPath,
    ["--conditions=jetclaw-src", "--input-type=module", "-e", imports + script],
    { cwd: ROOT, env: { PATH: process.env.PATH, JETCLAW_CONFIG: configPath, OPENAI_API_KEY: "sk-test" } },
  );
  return stdout;
}

test.runIf(existsSync(EXAMPLE))("the example loads, and one line says what is not active", async () => {
  const stdout = await inAProcess(
    `const { config, notices } = await loadConfig(readSettings(), { callsModels: true });
    console.log(JSON.stringify({ pools: Object.keys(config.pools), actors: config.actors.length, notices }));`,
    EXAMPLE,
  );
  const { pools, actors, notices } = JSON.parse(stdout) as {
    pools: string[];
    actors: number;
    notices: string[];
  };
  expect(pools).toEqual(["small", "large"]);
  expect(actors).toBe(1);
  expect(notices).toHaveLength(1);
  expect(notices[0]).toMatch(
    /not active .*tools of shop.*hand-over of shop.*budget of demo.*channel tcp.*channel whatsapp/,
  );
});

test("credentials leave the NATS address", () => {
  expect(splitNatsUrl("nats://user:p%40ss@a:1,nats://b:2")).toEqual({
    servers: ["nats://a:1", "nats://b:2"],
    credentials: { user: "user", pass: "p@ss" },
  });
  expect(splitNatsUrl("nats://a:1").credentials).toEqual({});
  expect(splitNatsUrl("ann:p@ss@a:1/")).toEqual({
    servers: ["nats://a:1"],
    credentials: { user: "ann", pass: "p@ss" },
  });
});

test("a NATS address that is none is refused in words that hold no secret", () => {
  const refusalOf = (url: string): string => {
    try {
      return JSON.stringify(splitNatsUrl(url));
    } catch (error) {
      return String(error);
    }
  };
  expect(refusalOf("nats://ann:50%pure@a:1")).toMatch(/write it as %25/);
  expect(refusalOf("http://a:1")).toMatch(/"http:\/\/a:1" is no NATS server; write nats:/);
  expect(refusalOf("nats://ann:secret@a:port")).toMatch(/"a:port" is no NATS server/);
  expect(refusalOf("")).toMatch(/names no server/);
  expect(refusalOf("nats://ann:50%pure@a:1")).not.toMatch(/pure/);
});

test("a gateway is looked for where it listens", () => {
  const urlOf = (JETCLAW_HOST: string): string => readSettings({ JETCLAW_HOST, JETCLAW_PORT: "9000" }).url;
  expect(["", "0.0.0.0", "10.0.0.5", "::1", "::"].map(urlOf)).toEqual([
    "http://127.0.0.1:9000",
    "http://127.0.0.1:9000",
    "http://10.0.0.5:9000",
    "http://[::1]:9000",
    "http://[::1]:9000",
  ]);
});

test("spaces and line ends around a variable do not count", () => {
  const settings = readSettings({ JETCLAW_PORT: "9000\r", JETCLAW_KEY: " ", JETCLAW_LOG_LEVEL: "info\r" });
  expect(settings).toMatchObject({ port: 9_000, key: "demo", logLevel: "info" });
  expect(readSettings({ JETCLAW_PORT: " " }).port).toBe(8_080);
});

test("a variable that makes no sense is named", () => {
  expect(() => readSettings({ JETCLAW_PORT: "http" })).toThrow(/JETCLAW_PORT/);
  expect(() => readSettings({ JETCLAW_NATS_SYNC: "often" })).toThrow(/JETCLAW_NATS_SYNC/);
});

test.each([
  ["JETCLAW_NATS_ULR", "JETCLAW_NATS_URL"],
  ["JETCLAW_PROT", "JETCLAW_PORT"],
  ["JETCLAW_DATADIR", "JETCLAW_DATA_DIR"],
  ["JETCLAW_EMBEDDINGS_MODELS", "JETCLAW_EMBEDDINGS_MODEL"],
  ["JETCLAW_MODEL_NAME", "JETCLAW_MODEL"],
  ["jetclaw_host", "JETCLAW_HOST"],
  ["JETCLAW_TENANT_LIMIT", undefined],
])("%s is told, with the variable that is meant, and stops no start", async (name, nearest) => {
  const { notices } = await load({ [name]: "x" });
  expect(notices).toEqual([
    expect.stringContaining(nearest ? `${name} is set, and jetclaw does not read it. Is ${nearest}` : name),
  ]);
  expect((await load({ [name]: "" })).notices).toEqual([]);
});

test("a variable that the file names is read, and none is told that is ours", async () => {
  process.env.JETCLAW_LLM_SECRET = "from-env";
  const path = join(folder, "a.json");
  await writeFile(
    path,
    `{ "pools": { "p": { "models": [{ "name": "m", "baseUrl": "http://127.0.0.1:1/v1", "apiKey": { "env": "JETCLAW_LLM_SECRET" } }] } } }`,
  );
  const { notices } = await load({ JETCLAW_CONFIG: path, JETCLAW_LLM_SECRET: "x", JETCLAW_KEY: "k" });
  delete process.env.JETCLAW_LLM_SECRET;
  expect(notices).toEqual([]);
});

test("what Kubernetes sets beside a Service called jetclaw is no port and no mistake", async () => {
  const ofServices = {
    JETCLAW_PORT: "tcp://10.96.0.7:8080",
    JETCLAW_PORT_8080_TCP: "tcp://10.96.0.7:8080",
    JETCLAW_PORT_8080_TCP_ADDR: "10.96.0.7",
    JETCLAW_SERVICE_HOST: "10.96.0.7",
    JETCLAW_SERVICE_PORT_HTTP: "8080",
    JETCLAW_NATS_PORT: "tcp://10.96.0.8:4222",
    JETCLAW_NATS_SERVICE_PORT: "4222",
  };
  expect(readSettings(ofServices)).toMatchObject({ port: 8_080, natsPort: 14_222, unknown: [] });
});
