// Keys and who may do what. Keys are in a real NATS.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test, vi } from "vitest";
import { hashKey, KvKeyStore } from "#actors/gateway/keys.ts";
import { decode, encode } from "#contracts/codec.ts";
import { JetclawError } from "#contracts/errors.ts";
import type { Mail } from "#runtime/actor/mailer.ts";
import { systemClock } from "#runtime/clock.ts";
import { Kv } from "#runtime/nats/kv.ts";
import { messagesFrom } from "#runtime/nats/reader.ts";
import {
  gatewayForEach,
  rawExchange,
  readEvents,
  startTestGateway,
  statusOf,
  type TestGateway,
  type TestKeys,
} from "#test/harness/gateway.ts";
import { waitUntil } from "#test/harness/wait.ts";

let store: TestKeys;
let gateway: TestGateway;

gatewayForEach({}, (each, keys) => {
  gateway = each;
  store = keys;
});

const ANN = "/v1/conversations/ann";
const MESSAGES = `${ANN}/messages`;
const wrongKey = (n: number): string => `jc_${String(n).padStart(43, "x")}`;

async function problemOf(response: Response): Promise<Record<string, unknown>> {
  return (await response.json()) as Record<string, unknown>;
}

describe("keys", () => {
  test("missing, malformed, unknown and revoked keys get the same 401", async () => {
    const { key, id } = await store.keys.create("acme");
    expect((await gateway.ask(MESSAGES, { body: { text: "hi" }, key })).status).toBe(200);
    await store.keys.revoke(id);
    const jwt = `${btoa('{"alg":"none"}')}.${btoa('{"sub":"demo"}')}.`.replaceAll("=", "");
    const said = new Set<string>();
    for (const headers of [
      {},
      { authorization: "Bearer" },
      { authorization: "Basic ZGVtbw==" },
      { authorization: `Bearer ${wrongKey(1)}` },
      { authorization: `Bearer ${jwt}` },
      { authorization: `Bearer ${key}` },
      { authorization: "Bearer demo demo" },
    ]) {
      const response = await gateway.ask(ANN, { key: null, headers: headers as Record<string, string> });
      expect([headers, response.status]).toEqual([headers, 401]);
      expect(response.headers.get("www-authenticate")).toMatch(/^Bearer/);
      const { traceId: _, ...problem } = await problemOf(response);
      said.add(JSON.stringify(problem));
    }
    expect(said.size).toBe(1);
  });

  test("revocation reaches another gateway within a second", async () => {
    const elsewhere = await KvKeyStore.open(store.bus, systemClock);
    try {
      const { key, id } = await elsewhere.create("acme");
      await waitUntil(async () => (await gateway.ask(ANN, { key })).status === 404, { what: "the key" });
      await elsewhere.revoke(id);
      await waitUntil(async () => (await gateway.ask(ANN, { key })).status === 401, {
        what: "the revocation",
      });
    } finally {
      elsewhere.close();
    }
  });

  test("two keys that share their first 20 characters are two identities", async () => {
    const kv = new Kv(store.bus, "keys");
    const [one, two] = ["a", "b"].map((end) => `jc_${"k".repeat(42)}${end}`) as [string, string];
    const record = { v: 1, scopes: ["chat"], label: "", createdAt: 1 };
    await kv.put(hashKey(one), encode({ ...record, tenant: "one" }));
    await kv.put(hashKey(two), encode({ ...record, tenant: "two" }));
    for (const key of [one, two]) await gateway.ask(MESSAGES, { body: { text: "hi" }, key });
    expect(gateway.conversations.sent.map(({ tenant }) => tenant)).toEqual(["one", "two"]);
  });

  test("a duplicate Authorization is 400, also spread over two headers", async () => {
    const head = `GET ${ANN} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer demo\r\n`;
    for (const second of ["Authorization: Bearer demo", "authorization: Bearer other", "X-Api-Key: demo"]) {
      const raw = await rawExchange(gateway.port, `${head}${second}\r\n\r\n`);
      expect([second, statusOf(raw)]).toEqual([second, 400]);
    }
  });

  test("wrong keys from one address are 429 before any look-up", async () => {
    const [{ key }, unused] = [await store.keys.create("acme"), await store.keys.create("acme")];
    await gateway.ask(ANN, { key });
    let lookUps = 0;
    const resolve = store.keys.resolve.bind(store.keys);
    store.keys.resolve = (each) => {
      lookUps++;
      return resolve(each);
    };
    try {
      const statuses = new Map<number, number>();
      for (let n = 0; n < 300; n++) {
        const { status } = await gateway.ask(ANN, { key: wrongKey(n) });
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
      expect(statuses).toEqual(
        new Map([
          [401, 30],
          [429, 270],
        ]),
      );
      expect(lookUps).toBe(30);
      const refused = await gateway.ask(ANN, { key: wrongKey(1) });
      expect(await problemOf(refused)).toMatchObject({ code: "auth.too-many-failures" });
      expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
      // A right key is not locked out by whoever guesses from the same address, used from there before or not.
      expect((await gateway.ask(ANN, { key })).status).toBe(404);
      expect((await gateway.ask(ANN, { key: unused.key })).status).toBe(404);
    } finally {
      store.keys.resolve = resolve;
    }
  });

  test("a key is in no log, error, KV value or list", async () => {
    const made = (await (
      await gateway.ask("/v1/admin/keys", { body: { tenant: "acme", label: "site" } })
    ).json()) as { key: string; id: string };
    expect(made.key).toMatch(/^jc_[\w-]{43}$/);
    await gateway.ask(MESSAGES, { body: { text: "hi" }, key: made.key });
    const errors = await Promise.all(
      [MESSAGES, "/v1/admin/status", "/v1/nothing", "/v1/conversations/%"].map(
        async (path) => await (await gateway.ask(path, { key: made.key })).text(),
      ),
    );
    const list = await (await gateway.ask("/v1/admin/keys?tenant=acme")).text();
    const stored = await messagesFrom(store.bus, "KV_keys", "$KV.keys.>", 1, 1_000);
    const values = stored.map(({ subject, data }) => subject + Buffer.from(data).toString("latin1")).join();
    const secret = made.key.slice(3);
    for (const text of [
      gateway.logged(),
      ...errors,
      list,
      values,
      JSON.stringify(stored.map(({ data }) => decode(data))),
    ])
      expect(text).not.toContain(secret);
    expect(list).toContain(made.id);
    expect((await gateway.ask(`/v1/admin/keys/${made.id}`, { method: "DELETE" })).status).toBe(204);
    expect((await gateway.ask(ANN, { key: made.key })).status).toBe(401);
    expect((await gateway.ask("/v1/admin/keys/0123456789abcdef", { method: "DELETE" })).status).toBe(404);
  });
});

describe("scopes and tenants", () => {
  test("an ordinary key on admin routes is 403, and the same by another header", async () => {
    const { key } = await store.keys.create("acme");
    for (const path of ["/v1/admin/status", "/v1/admin/events", "/v1/admin/keys"]) {
      const byBearer = await gateway.ask(path, { key });
      const byHeader = await gateway.ask(path, { key: null, headers: { "x-api-key": key } });
      expect([byBearer.status, byHeader.status]).toEqual([403, 403]);
      const [one, two] = await Promise.all([byBearer, byHeader].map(problemOf));
      expect({ ...one, traceId: "" }).toEqual({ ...two, traceId: "" });
    }
  });

  test("a key without a scope is 403 on its routes", async () => {
    const { key } = await store.keys.create("acme", { scopes: ["knowledge"] });
    expect((await gateway.ask(MESSAGES, { body: { text: "hi" }, key })).status).toBe(403);
    expect((await gateway.ask("/v1/actors/basket/ann", { key })).status).toBe(403);
    expect((await gateway.ask("/v1/knowledge/shop", { key })).status).toBe(200);
  });

  test("another tenant's session and document are 404", async () => {
    const { key } = await store.keys.create("other");
    await gateway.ask(MESSAGES, { body: { text: "hi" } });
    await gateway.ask("/v1/knowledge/shop/returns", { method: "PUT", body: { title: "t", text: "t" } });
    for (const [method, path] of [
      ["GET", ANN],
      ["DELETE", ANN],
      ["POST", `${ANN}/stop`],
      ["GET", "/v1/knowledge/shop/returns"],
      ["DELETE", "/v1/knowledge/shop/returns"],
    ] as const)
      expect([method, path, (await gateway.ask(path, { method, key })).status]).toEqual([method, path, 404]);
    expect((await gateway.ask(`${ANN}/turns/1/feedback`, { body: { value: "up" }, key })).status).toBe(404);
    expect(gateway.conversations.stops).toEqual([]);
    expect((await gateway.ask(ANN)).status).toBe(200);
  });
});

describe("the demo key", () => {
  test("only where it is allowed, and not for a page of a foreign name that points here", async () => {
    expect((await gateway.ask(ANN)).status).toBe(404);
    const head = (host: string): string =>
      `GET ${ANN} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\nAuthorization: Bearer demo\r\n\r\n`;
    expect(statusOf(await rawExchange(gateway.port, head("evil.example:8080")))).toBe(401);
    for (const host of ["127.0.0.1:8080", "localhost", "[::1]:8080", "app.localhost"])
      expect(statusOf(await rawExchange(gateway.port, head(host)))).toBe(404);
    const closed = await startTestGateway({ keys: store.keys, demoKey: false });
    try {
      expect((await closed.ask(ANN)).status).toBe(401);
    } finally {
      await closed.stop();
    }
  });
});

describe("knowledge, actors, status, page", () => {
  test("knowledge: put, get, list, delete, and what waiting says", async () => {
    const path = "/v1/knowledge/shop/returns";
    const put = (query = "") =>
      gateway.ask(`${path}${query}`, {
        method: "PUT",
        body: { title: "Returns", text: "30 days", url: "https://shop.example/returns", locale: "en" },
      });
    expect(await (await put()).json()).toEqual({ collection: "shop", document: "returns", revision: 1 });
    const indexed = await put("?wait=indexed");
    expect([indexed.status, await indexed.json()]).toEqual([
      200,
      { collection: "shop", document: "returns", revision: 2, indexed: true },
    ]);
    gateway.knowledge.indexed = false;
    const late = await put("?wait=indexed");
    expect([late.status, await late.json()]).toEqual([
      202,
      { collection: "shop", document: "returns", revision: 3, indexed: false },
    ]);
    expect(await (await gateway.ask(path)).json()).toMatchObject({
      title: "Returns",
      text: "30 days",
      revision: 3,
    });
    const list = (await (await gateway.ask("/v1/knowledge/shop")).json()) as { documents: object[] };
    expect(list.documents).toHaveLength(1);
    expect(list.documents[0]).not.toHaveProperty("text");
    expect((await gateway.ask(path, { method: "DELETE" })).status).toBe(200);
    expect((await gateway.ask(path, { method: "DELETE" })).status).toBe(404);
    expect((await gateway.ask(path)).status).toBe(404);
    expect((await gateway.ask(path, { method: "PUT", body: { title: "no text" } })).status).toBe(400);
    expect(
      (await gateway.ask(`${path}?wait=forever`, { method: "PUT", body: { title: "t", text: "t" } })).status,
    ).toBe(400);
  });

  test("actors: reply, 202, view, and what cannot be reached", async () => {
    const sent: Mail[] = [];
    const actors = {
      async send(message: Mail) {
        sent.push(message);
        if (message.kind !== "basket") throw new JetclawError("actor.kind-unknown");
        return message.waitMs > 0
          ? { replied: true as const, reply: { items: 2 } }
          : { replied: false as const };
      },
      view: async (_kind: string, _tenant: string, key: string) =>
        key === "ann" ? { value: { items: 2 } } : undefined,
    };
    const own = await startTestGateway({ keys: store.keys, actors });
    try {
      const replied = await own.ask("/v1/actors/basket/ann/changed", {
        body: { items: 2 },
        headers: { "idempotency-key": "op-1" },
      });
      expect([replied.status, await replied.json()]).toEqual([200, { items: 2 }]);
      expect(sent[0]).toMatchObject({
        tenant: "demo",
        kind: "basket",
        key: "ann",
        type: "changed",
        body: { items: 2 },
        id: "op-1",
        waitMs: 5_000,
      });
      const stored = await own.ask("/v1/actors/basket/a%2Fb/changed", {
        method: "POST",
        headers: { prefer: "respond-async" },
      });
      expect([stored.status, stored.headers.get("location")]).toEqual([202, "/v1/actors/basket/a%2Fb"]);
      expect(await (await own.ask("/v1/actors/basket/ann")).json()).toEqual({ items: 2 });
      expect((await own.ask("/v1/actors/basket/bob")).status).toBe(404);
      expect((await own.ask("/v1/actors/nope/bob/x", { body: {} })).status).toBe(404);
      // A result of a job must come from a worker.
      expect((await own.ask("/v1/actors/conversation/ann/result", { body: {} })).status).toBe(404);
      expect(sent.some(({ kind }) => kind === "conversation")).toBe(false);
    } finally {
      await own.stop();
    }
  });

  test("status, and status as it changes", async () => {
    let at = 0;
    const admin = {
      status: async () => ({
        at: ++at,
        roles: [],
        streams: [{ name: "TOKENS", messages: 1, bytes: 2, consumers: 0 }],
      }),
    };
    const watched = await startTestGateway({ keys: store.keys, admin, settings: { statusMs: 20 } });
    try {
      expect(await (await watched.ask("/v1/admin/status")).json()).toMatchObject({
        at: 1,
        streams: [{ name: "TOKENS" }],
      });
      const events = await readEvents(
        await watched.ask("/v1/admin/events"),
        (_event, all) => all.length === 3,
      );
      expect(events.map(({ event, data }) => [event, data.at])).toEqual([
        ["status", 2],
        ["status", 3],
        ["status", 4],
      ]);
    } finally {
      await watched.stop();
    }
  });

  test("watchers who leave and come in the middle of a reading do not make it two", async () => {
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    let readings = 0;
    const status = async () => {
      if (++readings === 2) await held;
      return { at: readings, roles: [], streams: [] };
    };
    const timers = vi.spyOn(globalThis, "setTimeout");
    const watched = await startTestGateway({
      keys: store.keys,
      admin: { status },
      settings: { statusMs: 43 },
    });
    const waits = (): number => timers.mock.calls.filter(([, ms]) => ms === 43).length;
    const connections = promisify(watched.app.server.getConnections.bind(watched.app.server));
    try {
      const leaving = new AbortController();
      await watched.ask("/v1/admin/events", { signal: leaving.signal });
      await waitUntil(() => readings === 2, { what: "the reading that takes long" });
      leaving.abort();
      await waitUntil(async () => (await connections()) === 0, { what: "the first one's leaving" });
      const second = await watched.ask("/v1/admin/events");
      expect(waits()).toBe(1);
      release();
      expect(await readEvents(second, (_event, all) => all.length === 2)).toHaveLength(2);
    } finally {
      timers.mockRestore();
      await watched.stop();
    }
  });

  test("the page under a policy that runs nothing from elsewhere; files beside it are not served", async () => {
    const root = await mkdtemp(join(tmpdir(), "jetclaw-page-"));
    await writeFile(join(root, "index.html"), "<!doctype html><title>chat</title>");
    await writeFile(join(root, ".env"), "SECRET=1");
    const paged = await startTestGateway({ keys: store.keys, staticDir: root });
    try {
      const page = await paged.ask("/", { key: null });
      expect([page.status, await page.text()]).toEqual([200, "<!doctype html><title>chat</title>"]);
      const policy = page.headers.get("content-security-policy") ?? "";
      expect(policy).toContain("default-src 'none'");
      expect(policy).not.toMatch(/unsafe|\*/);
      expect(page.headers.get("x-content-type-options")).toBe("nosniff");
      for (const path of ["/.env", "/%2e%2e/%2e%2e/etc/passwd", "/nothing.js"])
        expect((await paged.ask(path, { key: null })).status).toBe(404);
      expect(
        statusOf(
          await rawExchange(
            paged.port,
            "GET /../../../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
          ),
        ),
      ).toBeGreaterThanOrEqual(400);
    } finally {
      await paged.stop();
      await rm(root, { recursive: true });
    }
  });

  test("other origins are refused", async () => {
    const headers = { origin: "https://shop.example", "access-control-request-method": "POST" };
    const preflight = { method: "OPTIONS", key: null, headers };
    expect((await gateway.ask(MESSAGES, preflight)).headers.get("access-control-allow-origin")).toBeNull();
  });
});
