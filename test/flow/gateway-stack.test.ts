// The whole way of a message: HTTP, NATS, conversation host, worker, and back, in the composition of the product.

import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { ConversationClient } from "#actors/conversation/client.ts";
import type { AdminStatus } from "#actors/gateway/port.ts";
import { configSchema } from "#contracts/config.ts";
import type { Answer } from "#contracts/turn.ts";
import type { RoleContext, RunningRole } from "#ops/compose/context.ts";
import { startConversationHost } from "#ops/compose/conversation.ts";
import { type GatewayOptions, type RunningGateway, startGateway } from "#ops/compose/gateway.ts";
import { connectTo, contextOf, provisionFor } from "#ops/compose/open.ts";
import { startWorker } from "#ops/compose/worker.ts";
import { createClient } from "#ops/package/client.ts";
import { defineActor } from "#runtime/actor/define.ts";
import { ActorMailer } from "#runtime/actor/mailer.ts";
import { capturedLog, MemoryKnowledge, readEvents, untilDone } from "#test/harness/gateway.ts";
import { startTestNats, type TestNats } from "#test/harness/nats.ts";
import { waitUntil } from "#test/harness/wait.ts";

const basket = defineActor({
  kind: "basket",
  version: 1,
  state: z.object({ items: z.number() }),
  messages: { changed: z.object({ items: z.number().int().min(0) }), count: z.object({}) },
  initial: () => ({ items: 0 }),
  view: (state) => ({ items: state.items }),
  on: {
    changed(actor, { items }) {
      actor.state.items = items;
    },
    count(actor) {
      actor.reply({ count: actor.state.items });
    },
  },
});

const ORIGIN = "https://shop.example";
let nats: TestNats;
let context: RoleContext;
let roles: RunningRole[];
const gateways: RunningGateway[] = [];

async function gatewayOn(options: Partial<GatewayOptions> = {}): Promise<RunningGateway> {
  const { bus, deployment, clock } = context;
  const gateway = await startGateway(context, {
    host: "127.0.0.1",
    port: 0,
    conversations: new ConversationClient(bus, deployment, clock),
    knowledge: new MemoryKnowledge(),
    actors: new ActorMailer({ bus, deployment, clock, kinds: [basket] }),
    readiness: () => ({ ready: true, reasons: [] }),
    ...options,
  });
  gateways.push(gateway);
  return gateway;
}

const KEY = { authorization: "Bearer demo", "content-type": "application/json" };
const post = (
  gateway: RunningGateway,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Response> =>
  fetch(`${gateway.url}${path}`, {
    method: "POST",
    headers: { ...KEY, ...headers },
    body: JSON.stringify(body),
  });

beforeAll(async () => {
  nats = await startTestNats();
  const { log } = capturedLog();
  const config = configSchema.parse({
    assistants: { default: { instructions: "Answer briefly.", model: "main" } },
    pools: { main: { models: [{ name: "echo", provider: "echo" }] } },
    shards: 1,
    gateway: { corsOrigins: [ORIGIN] },
  });
  const bus = await connectTo(nats.url, "test", log);
  context = contextOf(bus, await provisionFor(bus, config), config, log);
  roles = [
    await startConversationHost(context, { kinds: [basket] }),
    await startWorker(context, { echo: { replyBytes: 200, chunks: 5, delayMs: 40 } }),
  ];
  await waitUntil(() => roles.every((role) => role.readiness() === undefined), { what: "the roles" });
});
afterAll(async () => {
  for (const gateway of gateways) await gateway.stop();
  for (const role of roles.reverse()) await role.stop();
  await context.bus.close();
  await nats.stop();
});

describe("a page of another origin", () => {
  const ALLOWED = "access-control-allow-origin";

  test("may call with every method of the client where its origin is named, answers as they come included", async () => {
    const gateway = await gatewayOn();
    const path = "/v1/conversations/page/messages";
    for (const method of ["GET", "POST", "PUT", "DELETE"]) {
      const headers = { origin: ORIGIN, "access-control-request-method": method };
      const preflight = await fetch(`${gateway.url}${path}`, { method: "OPTIONS", headers });
      expect(preflight.headers.get(ALLOWED)).toBe(ORIGIN);
      expect(preflight.headers.get("access-control-allow-methods")).toContain(method);
    }
    const streamed = await post(
      gateway,
      path,
      { text: "hi" },
      { origin: ORIGIN, accept: "text/event-stream" },
    );
    expect(streamed.headers.get(ALLOWED)).toBe(ORIGIN);
    await streamed.text();
    const elsewhere = await post(gateway, path, { text: "hi" }, { origin: "https://other.example" });
    expect(elsewhere.headers.get(ALLOWED)).toBeNull();
  });

  test("what is no origin is refused when the configuration is read", () => {
    for (const origin of ["shop.example", `${ORIGIN}/`, `${ORIGIN}/shop`, "*"])
      expect(configSchema.safeParse({ gateway: { corsOrigins: [origin] } }).success).toBe(false);
  });
});

describe("a message through everything", () => {
  test("JSON, then a repeat of its id at another gateway: the same turn", async () => {
    const [here, there] = [await gatewayOn(), await gatewayOn()];
    const message = { text: "hello", id: "m-1" };
    const first = (await (await post(here, "/v1/conversations/a.b/messages", message)).json()) as Answer;
    expect(first).toMatchObject({
      session: "a.b",
      turn: 1,
      citations: [],
      cached: false,
      outcome: "answered",
    });
    expect(first.reply).toContain("echo hello");
    await post(here, "/v1/conversations/a.b/messages", { text: "more" });
    const again = (await (await post(there, "/v1/conversations/a.b/messages", message)).json()) as Answer;
    expect(again).toMatchObject({ turn: 1, reply: first.reply });
    const transcript = await (await fetch(`${there.url}/v1/conversations/a.b`, { headers: KEY })).json();
    expect(transcript).toMatchObject({
      session: "a.b",
      status: "idle",
      turns: [{ turn: 1, messages: [{ id: "m-1", text: "hello" }], reply: first.reply }, { turn: 2 }],
    });
  });

  test("streamed, and resumed at another gateway after each event", async () => {
    const [here, there] = [await gatewayOn(), await gatewayOn()];
    const response = await post(
      here,
      "/v1/conversations/streamed/messages",
      { text: "hello" },
      { accept: "text/event-stream" },
    );
    const all = await readEvents(response, untilDone);
    expect(all[0]?.event).toBe("turn");
    expect(all.at(-1)?.event).toBe("done");
    expect(
      all
        .filter(({ event }) => event === "delta")
        .map(({ data }) => data.text)
        .join(""),
    ).toBe(all.at(-1)?.data.reply);
    for (const [n, { id }] of all.slice(0, -1).entries()) {
      const resumed = await fetch(`${there.url}/v1/conversations/streamed/events`, {
        headers: { ...KEY, "last-event-id": id as string },
      });
      expect(await readEvents(resumed, untilDone)).toEqual(all.slice(n + 1));
    }
  });

  test("while TOKENS is gone, a resumed stream gets its done from the record", async () => {
    const gateway = await gatewayOn();
    const client = createClient({ url: gateway.url, key: "demo" });
    const answer = await client.conversation("forgotten").send("hello").reply();
    await context.bus.jsm.streams.purge("TOKENS");
    const resumed = await fetch(`${gateway.url}/v1/conversations/forgotten/events`, {
      headers: { ...KEY, "last-event-id": "1.1.1" },
    });
    const [done] = (await readEvents(resumed, untilDone)).filter(({ event }) => event === "done");
    expect(done?.data).toMatchObject({ turn: 1, reply: answer.reply });
    await client[Symbol.asyncDispose]();
  });

  test("accepted now, answered later; erased, gone", async () => {
    const gateway = await gatewayOn();
    await using client = createClient({ url: gateway.url, key: "demo" });
    const accepted = await post(
      gateway,
      "/v1/conversations/later/messages",
      { text: "hi", id: "m" },
      { prefer: "respond-async" },
    );
    expect([accepted.status, accepted.headers.get("location")]).toEqual([202, "/v1/conversations/later"]);
    const later = client.conversation("later");
    await waitUntil(async () => (await later.transcript())?.turns[0]?.reply?.includes("echo hi"), {
      what: "the answer",
    });
    await later.feedback(1, "up");
    expect((await later.transcript())?.turns[0]).toMatchObject({ feedback: "up" });
    expect(await later.erase()).toBe(true);
    expect(await later.transcript()).toBeUndefined();
    expect(await later.erase()).toBe(false);
  });

  test("an actor of the user's own: 202 without a reply, its reply, its view", async () => {
    const actorWaitMs = 60_000;
    const gateway = await gatewayOn({ settings: { actorWaitMs, waitMs: actorWaitMs } });
    await using client = createClient({ url: gateway.url, key: "demo" });
    const actor = client.actor("basket", "ann");
    expect(await actor.view()).toBeUndefined();
    const startedAt = performance.now();
    expect(await actor.send("changed", { items: 3 })).toBeUndefined();
    // The host says when a message was processed without a reply, so nobody waits for the time-out.
    expect(performance.now() - startedAt).toBeLessThan(actorWaitMs);
    expect(await actor.send("count")).toEqual({ count: 3 });
    expect(await actor.view()).toEqual({ items: 3 });
    await expect(actor.send("changed", { items: -1 })).rejects.toMatchObject({
      code: "request.invalid",
      status: 400,
    });
    await expect(actor.send("nope")).rejects.toMatchObject({ code: "actor.message-unknown", status: 404 });
    await expect(client.actor("nope", "ann").view()).rejects.toMatchObject({
      code: "actor.kind-unknown",
      status: 404,
    });
  });

  test("status names roles, streams and who owns the partitions", async () => {
    const gateway = await gatewayOn();
    const status = await waitUntil(
      async () => {
        const read = (await (
          await fetch(`${gateway.url}/v1/admin/status`, { headers: KEY })
        ).json()) as AdminStatus;
        return read.roles.length >= 3 && read;
      },
      { what: "the beats of all roles" },
    );
    expect(new Set(status.roles.map(({ role }) => role))).toEqual(
      new Set(["gateway", "conversation", "worker"]),
    );
    expect(status.streams.map(({ name }) => name)).toEqual([
      "INBOUND-0",
      "INFER-main",
      "TURNS-0",
      "KNOWLEDGE",
      "TOKENS",
      "DEADLETTER",
    ]);
    expect(status.placement).toMatchObject({
      hosts: [{ host: context.instance, partitions: Array.from({ length: 64 }, (_, p) => p) }],
      unowned: [],
    });
  });
});

describe("the role", () => {
  test("a drain takes nobody new, lets waits finish and sends streams elsewhere", async () => {
    const gateway = await gatewayOn();
    const stream = await fetch(`${gateway.url}/v1/conversations/draining/events`, { headers: KEY });
    const waiting = post(gateway, "/v1/conversations/draining/messages", { text: "before the end" });
    const reader = (stream.body as ReadableStream<Uint8Array>).getReader();
    let text = "";
    // The turn has begun when its first event is heard.
    while (!text.includes("event: turn")) text += new TextDecoder().decode((await reader.read()).value);
    const drained = gateway.drain();
    expect(gateway.readiness()).toBe("draining");
    expect(await (await waiting).json()).toMatchObject({ turn: 1, outcome: "answered" });
    for (let read = await reader.read(); !read.done; read = await reader.read())
      text += new TextDecoder().decode(read.value);
    expect(text).toMatch(/retry: \d+\n\n$/);
    await drained;
    await expect(fetch(`${gateway.url}/healthz`)).rejects.toThrow();
    await gateway.stop();
  });

  test("who still waits when the grace is over is told that the turn goes on", async () => {
    const { bus, deployment, clock } = context;
    const conversations = new ConversationClient(bus, deployment, clock);
    const sent = new Promise<void>((resolve) => {
      // A turn whose model is silent.
      conversations.send = async () => {
        resolve();
        return 1;
      };
    });
    const gateway = await gatewayOn({ conversations, graceMs: 100 });
    const waiting = post(gateway, "/v1/conversations/left/messages", { text: "anybody?" });
    await sent;
    await gateway.drain();
    const response = await waiting;
    expect(response.status).toBe(504);
    expect(await response.json()).toMatchObject({ code: "turn.timeout", session: "left" });
    await gateway.stop();
  });

  test("an address that others reach needs keys; a port in use says so", async () => {
    await expect(gatewayOn({ host: "0.0.0.0" })).rejects.toMatchObject({
      code: "start.refused",
      detail: expect.stringContaining("jetclaw keys create"),
    });
    const taken = createServer().listen(0, "127.0.0.1");
    await waitUntil(() => taken.listening, { what: "the port" });
    const { port } = taken.address() as AddressInfo;
    await expect(gatewayOn({ port })).rejects.toMatchObject({
      code: "start.refused",
      detail: expect.stringContaining("JETCLAW_PORT"),
    });
    taken.close();
  });

  test("the demo key is not accepted off loopback, a made key is", async () => {
    const here = await gatewayOn();
    const made = (await (await post(here, "/v1/admin/keys", { tenant: "acme" })).json()) as { key: string };
    const open = await gatewayOn({ host: "0.0.0.0" });
    expect((await fetch(`${open.url}/v1/conversations/x`, { headers: KEY })).status).toBe(401);
    expect(
      (await fetch(`${open.url}/v1/conversations/x`, { headers: { authorization: `Bearer ${made.key}` } }))
        .status,
    ).toBe(404);
  });
});
