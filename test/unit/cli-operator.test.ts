// What an operator types at three in the morning: empty variables, wrong addresses, a narrow terminal.
import { writeFileSync } from "node:fs";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer, type RequestListener, type Server } from "node:http";
import { type AddressInfo, createServer as createSocketServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { CHECKS } from "#ops/cli/doctor/checks.ts";
import { CliFailure } from "#ops/cli/failure.ts";
import { program } from "#ops/cli/main.ts";
import { print, printJson, progressLine } from "#ops/cli/print.ts";
import { readSettings } from "#ops/settings.ts";

const servers: Server[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

async function listen(handler: RequestListener, host = "127.0.0.1"): Promise<number> {
  const server = createServer(handler);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return (server.address() as AddressInfo).port;
}

/** What the command line ends with. */
async function failureOf(...args: string[]): Promise<CliFailure> {
  const error = await (await program(args[0])).parseAsync(args, { from: "user" }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CliFailure);
  return error as CliFailure;
}

test.each([
  ["an option", ["dead", "rm", "--all", "--tenant", ""], "--tenant is empty"],
  ["the address of NATS", ["sessions", "erase", "ann", "--nats", ""], "--nats is empty"],
  ["an argument", ["drain", ""], "<process> is empty"],
  ["one of several", ["dead", "redrive", "3f9a", ""], "<references> is empty"],
])("%s that is empty is refused, and nothing is done", async (_, args, message) => {
  const fetched = vi.fn();
  vi.stubGlobal("fetch", fetched);
  expect(await failureOf(...args)).toMatchObject({ message, exitCode: 2 });
  expect(fetched).not.toHaveBeenCalled();
});

test("a number is no time that letters are dropped from", async () => {
  const fetched = vi.fn();
  vi.stubGlobal("fetch", fetched);
  expect(await failureOf("dead", "rm", "--all", "--since", "12")).toMatchObject({
    message: expect.stringMatching(/--since is .*2026-11-30, not "12"/),
    exitCode: 2,
  });
  expect(fetched).not.toHaveBeenCalled();
});

test.each(["localhost:8080", "127.0.0.1:8080", "nats://127.0.0.1:4222"])(
  "%s is no address of a gateway",
  async (url) => {
    for (const command of [["status"], ["chat", "-m", "Hi"]])
      expect(await failureOf(...command, "--url", url)).toMatchObject({
        message: expect.stringContaining(`"${url}", not a URL such as http://`),
        exitCode: 2,
      });
  },
);

test("a key that no header can carry, and a day that no month has, are told", async () => {
  expect((await failureOf("status", "--key", "jc_\u2026")).message).toMatch(/the key holds a character/);
  expect((await failureOf("sessions", "export", "--to", "x", "--before", "2026-02-30")).message).toMatch(
    /--before is a day/,
  );
});

test("another program at the address of the gateway is told from it", async () => {
  const port = await listen((_, response) =>
    response.setHeader("content-type", "text/html").end("<h1>Hi</h1>"),
  );
  const url = `http://127.0.0.1:${port}`;
  expect((await failureOf("status", "--url", url)).message).toBe(
    `${url} answers, but it is no jetclaw gateway`,
  );
});

test("an answer that breaks off is told as a gateway that does not answer", async () => {
  const port = await listen((_, response) => {
    response.writeHead(200, { "content-type": "application/json", "content-length": "100" });
    response.write("{", () => response.destroy());
  });
  expect((await failureOf("status", "--url", `http://127.0.0.1:${port}`)).message).toMatch(
    /no gateway answers/,
  );
});

test("doctor knows a gateway at an IPv6 address", async (context) => {
  const port = await listen(
    (_, response) =>
      response.setHeader("content-type", "application/json").end('{"ready":true,"reasons":[]}'),
    "::1",
  ).catch(() => context.skip("this machine has no IPv6"));
  const check = CHECKS.find(([name]) => name === "port")?.[1];
  const settings = readSettings({ JETCLAW_HOST: "::1", JETCLAW_PORT: String(port) });
  expect(await check?.({ settings } as never)).toMatchObject({
    state: "ok",
    found: expect.stringContaining("jetclaw gateway"),
  });
});

test("doctor asks each server of a cluster, at IPv6 addresses too", async (context) => {
  const greeting = { server_name: "one", version: "2.99.0", jetstream: true };
  const server = createSocketServer((socket) => socket.write(`INFO ${JSON.stringify(greeting)}\r\n`));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(0, "::1", resolve);
  }).catch(() => context.skip("this machine has no IPv6"));
  const { port } = server.address() as AddressInfo;
  const check = CHECKS.find(([name]) => name === "nats")?.[1];
  const stateOf = async (natsUrl: string) => await check?.({ natsUrl, named: { nats: true } } as never);
  expect(await stateOf(`nats://[::1]:${port}`)).toMatchObject({ state: "ok" });
  expect(await stateOf(`nats://127.0.0.1:1,nats://[::1]:${port}`)).toMatchObject({
    state: "warn",
    found: expect.stringMatching(/nothing answers at nats:\/\/127.0.0.1:1; nats:\/\/\[::1\]:.*JetStream/),
  });
  expect(await stateOf("nats://127.0.0.1:1")).toMatchObject({ state: "fail" });
  await new Promise((resolve) => server.close(resolve));
});

test("doctor tells a server that accepts and says nothing from one that does not run", async () => {
  const silent = createSocketServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const { port } = silent.address() as AddressInfo;
  const check = CHECKS.find(([name]) => name === "nats")?.[1];
  expect(await check?.({ natsUrl: `nats://127.0.0.1:${port}`, named: {} } as never)).toMatchObject({
    state: "fail",
    found: expect.stringContaining("accepts connections, and no NATS server greets"),
    next: expect.stringContaining("frozen"),
  });
  expect(await check?.({ natsUrl: "nats://127.0.0.1:1", named: {} } as never)).toMatchObject({
    state: "warn",
    found: expect.stringContaining("nothing answers"),
  });
  await new Promise((resolve) => silent.close(resolve));
});

test("doctor tells what to do of a gateway that is not ready, that lacks its store, that does not know the key", async () => {
  let ready = { ready: false, reasons: ["NATS does not store what it is given"] };
  let status = 503;
  const port = await listen(({ url }, response) =>
    response
      .writeHead(url === "/readyz" ? 200 : status, { "content-type": "application/json" })
      .end(JSON.stringify(url === "/readyz" ? ready : { title: "No." })),
  );
  const check = CHECKS.find(([name]) => name === "gateway")?.[1];
  const gateway = { url: `http://127.0.0.1:${port}`, key: "demo" };
  const found = async () => await check?.({ gateway, named: { gateway: true } } as never);
  expect(await found()).toMatchObject({ state: "fail", next: expect.stringMatching(/disk .* full/) });
  ready = { ready: true, reasons: [] };
  expect(await found()).toMatchObject({ state: "fail", next: expect.stringMatching(/NATS and its streams/) });
  status = 401;
  expect(await found()).toMatchObject({ state: "fail", next: expect.stringContaining("--key") });
});

test("doctor tells of a collector of traces that is gone", async () => {
  const port = await listen((_, response) => response.end());
  const check = CHECKS.find(([name]) => name === "traces")?.[1];
  const found = async (OTEL_EXPORTER_OTLP_ENDPOINT: string) => {
    vi.stubEnv("OTEL_EXPORTER_OTLP_ENDPOINT", OTEL_EXPORTER_OTLP_ENDPOINT);
    return await check?.({} as never).finally(() => vi.unstubAllEnvs());
  };
  expect(await found("")).toMatchObject({ state: "ok", found: "none are sent" });
  expect(await found(`http://127.0.0.1:${port}`)).toMatchObject({ state: "ok" });
  expect(await found("http://127.0.0.1:1")).toMatchObject({
    state: "warn",
    found: "nothing answers at http://127.0.0.1:1",
    next: expect.stringContaining("collector"),
  });
  expect(await found("127.0.0.1:4318")).toMatchObject({ state: "warn" });
});

test("doctor leaves no folder behind, and wants none where NATS is elsewhere", async () => {
  const folder = await mkdtemp(join(tmpdir(), "jetclaw-doctor-"));
  const data = CHECKS.find(([name]) => name === "data")?.[1];
  const find = async (JETCLAW_DATA_DIR: string, nats: boolean) =>
    await data?.({ settings: readSettings({ JETCLAW_DATA_DIR }), named: { nats } } as never);
  try {
    expect((await find(join(folder, "new/data"), false))?.found).toMatch(/is writable, fsync/);
    expect(await readdir(folder)).toEqual([]);
    // A server that is started while the disk is measured has its first file in there.
    const start = vi.spyOn(performance, "now").mockImplementation(() => {
      writeFileSync(join(folder, "new/data/store"), "");
      return 0;
    });
    await find(join(folder, "new/data"), false);
    start.mockRestore();
    expect(await readdir(join(folder, "new/data"))).toEqual(["store"]);
    await rm(join(folder, "new"), { recursive: true });
    await writeFile(join(folder, "file"), "");
    expect(await find(join(folder, "file"), false)).toMatchObject({
      state: "fail",
      next: expect.stringMatching(/JETCLAW_DATA_DIR/),
    });
    expect(await find(join(folder, "file"), true)).toMatchObject({ state: "ok" });
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("what people wrote does not steer a terminal, and reaches a file as it is", () => {
  let out = "";
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    out += String(text);
    return true;
  });
  const wasTty = process.stdout.isTTY;
  try {
    process.stdout.isTTY = true;
    print("one\ttwo\n\u001b]52;c;ZXZpbA==\u0007three\r");
    process.stdout.isTTY = false;
    print("\u001b[2J");
  } finally {
    process.stdout.isTTY = wasTty;
  }
  expect(out).toBe("one\ttwo\n]52;c;ZXZpbA==three\n\u001b[2J\n");
});

test("a figure without a bound does not pass for a small one", () => {
  let out = "";
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    out += String(text);
    return true;
  });
  printJson({ figures: { worstTenantP95Ratio: Number.POSITIVE_INFINITY, n: 1 } });
  expect(JSON.parse(out)).toEqual({ figures: { worstTenantP95Ratio: "Infinity", n: 1 } });
});

test("progress stays on one line of a narrow terminal", () => {
  let out = "";
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    out += String(text);
    return true;
  });
  const { isTTY, columns } = process.stderr;
  try {
    Object.assign(process.stderr, { isTTY: true, columns: 40 });
    progressLine().update("x".repeat(90));
  } finally {
    Object.assign(process.stderr, { isTTY, columns });
  }
  expect(out).toBe(`\r\u001b[K${"x".repeat(39)}`);
});

test("the progress of what is over at once is one line in a file, and none where nothing was begun", () => {
  let out = "";
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    out += String(text);
    return true;
  });
  const { isTTY } = process.stderr;
  try {
    Object.assign(process.stderr, { isTTY: false });
    const line = progressLine();
    line.update("all");
    line.end("all");
    progressLine().end("");
  } finally {
    Object.assign(process.stderr, { isTTY });
  }
  expect(out).toBe("all\n");
});
