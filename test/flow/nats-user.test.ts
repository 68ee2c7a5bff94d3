// A NATS server that knows other users, or has another's certificate: told at once by who starts, waited out by who worked before.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, test } from "vitest";
import { configSchema } from "#contracts/config.ts";
import { runProcess } from "#ops/compose/process.ts";
import { readSettings } from "#ops/settings.ts";
import { connectBus } from "#runtime/nats/connect.ts";
import { probe } from "#runtime/nats/server/probe.ts";
import { isNewEnough } from "#runtime/nats/server/version.ts";
import { ensureNatsServer } from "#runtime/nats/server.ts";
import { createLog } from "#runtime/observe/log.ts";
import { freePort } from "#test/harness/free-port.ts";
import { endWithUs } from "#test/harness/reaping.ts";
import { PATIENCE_MS, waitUntil } from "#test/harness/wait.ts";

const BIN = fileURLToPath(new URL("../../ops/bin.js", import.meta.url));
const execute = promisify(execFile);
let dir: string;
let port: number;
let end: () => Promise<void> = async () => {};

/** The server knows one user, with this password. */
const serve = (password: string): Promise<void> =>
  serveWith(`authorization { user: ada, password: ${password} }`);

async function serveWith(rest: string): Promise<void> {
  const config = join(dir, "nats.conf");
  await writeFile(config, `listen: "127.0.0.1:${port}"\njetstream { store_dir: "${dir}" }\n${rest}`);
  const bin = await ensureNatsServer({ log: () => {}, given: process.env.NATS_SERVER_BIN });
  const server = spawn(bin, ["-c", config], { stdio: "ignore" });
  const spare = endWithUs(server.pid as number);
  const exited = once(server, "exit");
  end = async () => {
    server.kill("SIGKILL");
    await exited;
    spare();
  };
  await waitUntil(async () => (await probe("127.0.0.1", port, PATIENCE_MS)).kind === "nats", {
    what: "the server",
  });
}

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "jetclaw-user-"));
  port = await freePort();
});
afterEach(async () => {
  await end();
  await rm(dir, { recursive: true, force: true });
});

test("a process that starts as a user that the server does not know ends at once and says what to write", async () => {
  await serve("right");
  const said: string[] = [];
  const starting = runProcess({
    roles: ["gateway"],
    settings: { ...readSettings(), dataDir: dir },
    config: configSchema.parse({
      assistants: { shop: { instructions: "Be brief." } },
      pools: { default: { models: [{ name: "echo", provider: "echo" }] } },
    }),
    natsUrl: `nats://ada:wrong@127.0.0.1:${port}`,
    log: createLog({ level: "silent" }),
    say: (line) => void said.push(line),
  });
  await expect(starting).rejects.toMatchObject({ code: "nats.refused", retry: "never" });
  expect(said).toEqual([]);
});

test("a connection that worked outlasts a server that refuses its user for a while, and says so once", async () => {
  await serve("right");
  const said: string[] = [];
  const error = (...parts: unknown[]): void => void said.push(String(parts.at(-1)));
  const log = Object.assign(Object.create(createLog({ level: "silent" })), { error });
  const credentials = { user: "ada", pass: "right" };
  const bus = await connectBus({ servers: `127.0.0.1:${port}`, name: "ada", log, credentials });
  let refusals = 0;
  void (async () => {
    for await (const { type } of bus.nc.status()) if (type === "error") refusals++;
  })();
  await end();
  await serve("other");
  await waitUntil(() => refusals >= 3, { what: "the user to be refused again and again" });
  await end();
  await serve("right");
  await waitUntil(() => bus.online, { what: "the connection to be back" });
  expect(said.filter((line) => line.includes("refuses this user"))).toHaveLength(1);
  await bus.close();
});

test("a server that is too old is refused by name, before anything is made on it", async () => {
  const asked: string[] = [];
  // No such server runs here: what it says of itself is all that counts.
  const old = createServer((socket) => {
    socket.write(
      `INFO ${JSON.stringify({ server_id: "OLD", version: "2.11.11", max_payload: 1_048_576, headers: true, jetstream: true })}\r\n`,
    );
    socket.on("data", (data) => {
      asked.push(data.toString());
      if (data.includes("PING")) socket.write("PONG\r\n");
    });
  });
  old.listen(port, "127.0.0.1");
  await once(old, "listening");
  try {
    await expect(
      connectBus({ servers: `nats://127.0.0.1:${port}`, name: "new", log: createLog({ level: "silent" }) }),
    ).rejects.toMatchObject({
      code: "start.refused",
      detail: expect.stringMatching(/NATS 2\.11\.11; 2\.14 or newer/),
    });
    expect(asked.join("")).not.toContain("JS.API");
  } finally {
    old.close();
  }
});

test("which servers are new enough", () => {
  const versions = ["2.14.0", "2.15.0-dev", "v2.15.1", "3.0.0", "2.13.9", "2.9.10", "1.99.0", "something"];
  expect(versions.filter(isNewEnough)).toEqual(["2.14.0", "2.15.0-dev", "v2.15.1", "3.0.0", "something"]);
});

test("a certificate is for the address that was written, an IP address as well", async (context) => {
  const [key, cert] = [join(dir, "key.pem"), join(dir, "cert.pem")];
  const names = ["-subj", "/CN=nats", "-addext", "subjectAltName=IP:127.0.0.1"];
  const made = ["-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2"];
  await execute("openssl", ["req", "-x509", ...made, ...names]).catch(() =>
    context.skip("this machine has no openssl"),
  );
  await serveWith(`tls { cert_file: "${cert}", key_file: "${key}" }`);
  const provision = async (at: string): Promise<string> => {
    const args = [...process.execArgv, BIN, "provision", "--nats", `${at}:${port}`];
    const env = { ...process.env, NODE_EXTRA_CA_CERTS: cert };
    return await execute(process.execPath, args, { env }).then(
      ({ stdout }) => stdout,
      ({ stderr }) => String(stderr),
    );
  };
  expect(await provision("tls://127.0.0.1")).toMatch(/^Provisioned/);
  for (const at of ["nats://127.0.0.1", "tls://localhost"])
    expect(await provision(at)).toMatch(/certificate of .* is for another name; .*IP address with tls:/);
});
