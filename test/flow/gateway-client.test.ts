// The client library against a gateway that drains, dies and refuses.

import type { AddressInfo } from "node:net";
import { createServer, connect as dial, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { IncomingMessage } from "#actors/conversation/port.ts";
import { followEvents } from "#ops/package/client/stream.ts";
import { type Client, createClient, JetclawClientError, type TurnEvent } from "#ops/package/client.ts";
import { gatewayForEach, startTestGateway, type TestGateway, type TestKeys } from "#test/harness/gateway.ts";
import { waitUntil } from "#test/harness/wait.ts";

let store: TestKeys;
let gateway: TestGateway;
let client: Client;
const settings = { repeatCheckMs: 20, quietCheckMs: 60 };

gatewayForEach({ settings }, (each, keys) => {
  gateway = each;
  store = keys;
});
beforeEach(() => {
  client = createClient({ url: gateway.url, key: "demo" });
});
afterEach(async () => {
  await client[Symbol.asyncDispose]();
});

async function eventsOf(turn: AsyncIterable<TurnEvent>): Promise<TurnEvent[]> {
  const events: TurnEvent[] = [];
  for await (const event of turn) events.push(event);
  return events;
}
const textOf = (events: readonly TurnEvent[]): string =>
  events
    .filter((e) => e.type === "delta")
    .map((e) => e.text ?? "")
    .join("");

describe("a turn", () => {
  test("is iterated and asked for its reply, as in the example", async () => {
    const turn = client
      .conversation("ann")
      .send("How long does delivery take?", { signal: AbortSignal.timeout(300_000) });
    const events = await eventsOf(turn);
    expect(events.map(({ type }) => type)).toEqual(["turn", ...Array(7).fill("delta"), "done"]);
    expect(textOf(events)).toBe("You said: How long does delivery take?");
    expect(await turn.reply()).toMatchObject({
      session: "ann",
      turn: 1,
      reply: "You said: How long does delivery take?",
      citations: [],
      outcome: "answered",
    });
    expect(events.at(-1)).toMatchObject({ type: "done", answer: await turn.reply() });
  });

  test("is sent and answered without being iterated, and can be iterated afterwards", async () => {
    const turn = client.conversation("ann").send("hi", { id: "m1", locale: "nl" });
    expect((await turn.reply()).reply).toBe("You said: hi");
    expect(turn.id).toBe("m1");
    expect(textOf(await eventsOf(turn))).toBe("You said: hi");
    expect(gateway.conversations.sent[0]).toMatchObject({ id: "m1", body: { locale: "nl" } });
  });

  test("a refusal is an error with the fields of the problem, for the iteration and the reply", async () => {
    const turn = client.conversation("ann").send("");
    const failure = await turn.reply().catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(JetclawClientError);
    expect(failure).toMatchObject({
      code: "request.invalid",
      status: 400,
      retry: "never",
      traceId: expect.stringMatching(/^[0-9a-f]{32}$/),
      next: expect.any(String),
    });
    await expect(eventsOf(turn)).rejects.toBe(failure);
  });

  test("a signal ends the wait with its reason, and not the turn", async () => {
    const held: IncomingMessage[] = [];
    gateway.conversations.onMessage = (message) => held.push(message);
    const leaving = new AbortController();
    const turn = client.conversation("ann").send("hi", { signal: leaving.signal });
    await waitUntil(() => held.length > 0, { what: "the message" });
    const reason = new Error("enough");
    leaving.abort(reason);
    await expect(turn.reply()).rejects.toBe(reason);
    expect(gateway.conversations.stops).toEqual([]);
  });

  test("disposing ends what still waits", async () => {
    gateway.conversations.onMessage = () => {};
    const turn = client.conversation("ann").send("hi");
    await client[Symbol.asyncDispose]();
    await expect(turn.reply()).rejects.toMatchObject({ code: "client.closed" });
  });

  test("no gateway is an error that says so", async () => {
    await using lost = createClient({ url: "http://127.0.0.1:1", key: "demo" });
    await expect(lost.conversation("ann").transcript()).rejects.toMatchObject({
      code: "client.unreachable",
      status: 0,
    });
  });
});

describe("a stream that breaks off", () => {
  /** Passes bytes on to the gateway until it is told to cut. */
  async function startProxy(): Promise<{
    url: string;
    cut(): void;
    server: Server;
    target: { port: number };
  }> {
    const target = { port: gateway.port };
    const sockets = new Set<Socket>();
    const server = createServer((near) => {
      const far = dial(target.port, "127.0.0.1");
      for (const socket of [near, far]) {
        sockets.add(socket);
        socket
          .on("error", () => {})
          .on("close", () => {
            near.destroy();
            far.destroy();
          });
      }
      near.pipe(far);
      far.pipe(near);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const cut = (): void => {
      for (const socket of sockets) socket.destroy();
      sockets.clear();
    };
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, cut, server, target };
  }

  test("goes on after the last event seen, without gap or repeat", async () => {
    const { conversations } = gateway;
    const held: IncomingMessage[] = [];
    conversations.onMessage = (message) => held.push(message);
    const proxy = await startProxy();
    await using through = createClient({ url: proxy.url, key: "demo" });
    const turn = through.conversation("ann").send("hi");
    const seen: TurnEvent[] = [];
    const reading = (async () => {
      for await (const event of turn) seen.push(event);
    })();
    const message = await waitUntil(() => held[0], { what: "the message" });
    const number = conversations.open(message);
    conversations.delta(message, number, 1, 1, "one ");
    await waitUntil(() => seen.length === 2, { what: "the first delta" });
    proxy.cut();
    conversations.delta(message, number, 1, 2, "two ");
    await waitUntil(() => conversations.followers > 0, { what: "the next connection" });
    conversations.delta(message, number, 1, 3, "three");
    conversations.close(message, number, "one two three", { attempt: 1, number: 4 });
    // The session goes on; its other turns are not this one's events.
    conversations.answer({ ...message, id: "m2" }, "other");
    await reading;
    expect(seen.map(({ type, attempt, number: n }) => `${type} ${attempt}.${n}`)).toEqual([
      "turn 0.0",
      "delta 1.1",
      "delta 1.2",
      "delta 1.3",
      "done 1.4",
    ]);
    expect((await turn.reply()).reply).toBe("one two three");
    proxy.server.close();
    proxy.cut();
  });

  test("before its turn is known it is sent again under its id", async () => {
    const { conversations } = gateway;
    conversations.onMessage = () => {};
    const proxy = await startProxy();
    await using through = createClient({ url: proxy.url, key: "demo" });
    const turn = through.conversation("ann").send("hi");
    const first = await waitUntil(() => conversations.sent[0], { what: "the message" });
    proxy.cut();
    conversations.onMessage = (message) => conversations.answer(message, "once");
    expect((await turn.reply()).reply).toBe("once");
    expect(new Set(conversations.sent.map(({ id }) => id))).toEqual(new Set([first.id]));
    proxy.server.close();
    proxy.cut();
  });

  test("a proxy that finds no gateway for a moment is asked again", async () => {
    let asked = 0;
    await using through = createClient({
      url: gateway.url,
      key: "demo",
      fetch: async (...request) =>
        ++asked === 1 ? new Response("<html>Bad Gateway</html>", { status: 502 }) : fetch(...request),
    });
    expect((await through.conversation("ann").send("hi").reply()).reply).toBe("You said: hi");
    expect(asked).toBe(2);
  });

  test("a connection whose other end is gone without a word is given up", async () => {
    await client.conversation("ann").send("hi").reply();
    const never = new Promise<Response>(() => {});
    const opened: AbortSignal[] = [];
    const following = followEvents({
      signal: AbortSignal.timeout(60_000),
      silenceMs: 500,
      open: async (_, signal) => {
        opened.push(signal);
        if (opened.length === 1) return never;
        if (opened.length === 2) return new Response(new ReadableStream());
        const headers = { "last-event-id": "0.0.0" };
        return gateway.ask("/v1/conversations/ann/events", { headers, signal });
      },
    });
    const first = await following.next();
    expect(first.value).toMatchObject({ type: "turn", turn: 1 });
    expect(opened.slice(0, 2).map(({ aborted }) => aborted)).toEqual([true, true]);
    await following.return(undefined);
    expect(opened.at(-1)?.aborted).toBe(true);
  });

  test("a gateway that drains sends its streams elsewhere", async () => {
    const { conversations } = gateway;
    const held: IncomingMessage[] = [];
    conversations.onMessage = (message) => held.push(message);
    const proxy = await startProxy();
    const other = await startTestGateway({ keys: store.keys, settings, conversations });
    await using through = createClient({ url: proxy.url, key: "demo" });
    try {
      const turn = through.conversation("ann").send("hi");
      const message = await waitUntil(() => held[0], { what: "the message" });
      const number = conversations.open(message);
      conversations.delta(message, number, 1, 1, "one ");
      for await (const { type } of turn) if (type === "delta") break;
      proxy.target.port = other.port;
      gateway.app.drainStreams();
      conversations.close(message, number, "one two", { attempt: 1, number: 2 });
      expect((await turn.reply()).reply).toBe("one two");
    } finally {
      proxy.server.close();
      proxy.cut();
      await other.stop();
    }
  });
});

describe("the rest", () => {
  test("transcript, stop, feedback, erase", async () => {
    const ann = client.conversation("a/b *");
    await expect(ann.transcript()).rejects.toMatchObject({ code: "request.id" });
    const bob = client.conversation("a/b");
    expect(await bob.transcript()).toBeUndefined();
    await bob.send([{ type: "text", text: "hi" }]).reply();
    await bob.stop();
    await bob.feedback(1, "down", { comment: "no" });
    expect(await bob.transcript()).toMatchObject({
      session: "a/b",
      turns: [{ turn: 1, reply: "You said: hi" }],
    });
    expect(gateway.conversations.stops).toEqual(["demo a/b"]);
    expect([await bob.erase(), await bob.erase()]).toEqual([true, false]);
    await expect(client.conversation("..").transcript()).rejects.toMatchObject({ code: "request.id" });
  });

  test("the events of a session, from the beginning", async () => {
    await client.conversation("ann").send("hi").reply();
    const types: string[] = [];
    for await (const event of client.conversation("ann").events({ lastEventId: "0.0.0" })) {
      types.push(event.type);
      if (event.type === "done") break;
    }
    expect(types).toEqual(["turn", "delta", "delta", "delta", "done"]);
    await waitUntil(() => gateway.conversations.followers === 0, { what: "the end of the stream" });
  });

  test("all documents of a collection, however many pages they are", async () => {
    const page = (documents: string[], next?: number) =>
      Response.json({ documents: documents.map((document) => ({ document, revision: next ?? 9 })), next });
    const asked: string[] = [];
    await using paged = createClient({
      url: gateway.url,
      key: "demo",
      fetch: async (target) => {
        asked.push(new URL(String(target)).search);
        return asked.length === 1 ? page(["a", "b"], 2) : asked.length === 2 ? page(["c"], 3) : page(["b"]);
      },
    });
    expect(await paged.knowledge("shop").list()).toEqual([
      { document: "a", revision: 2 },
      { document: "b", revision: 9 },
      { document: "c", revision: 3 },
    ]);
    expect(asked).toEqual(["", "?after=2", "?after=3"]);
  });

  test("knowledge and actors", async () => {
    const shop = client.knowledge("shop");
    expect(await shop.put("returns", { title: "Returns", text: "30 days" }, { wait: "indexed" })).toEqual({
      collection: "shop",
      document: "returns",
      revision: 1,
      indexed: true,
    });
    expect(await shop.get("returns")).toMatchObject({ title: "Returns", text: "30 days" });
    expect(await shop.list()).toMatchObject([{ document: "returns", revision: 1 }]);
    expect(await shop.delete("returns")).toMatchObject({ revision: 2 });
    expect([await shop.delete("returns"), await shop.get("returns")]).toEqual([undefined, undefined]);
    expect(await client.actor("basket", "ann").send("changed", { items: 1 })).toBeUndefined();
    expect(await client.actor("basket", "ann").view()).toBeUndefined();
  });
});
