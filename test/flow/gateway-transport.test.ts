// What arrives at the socket: slow, huge, malformed, hostile.
import type { ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { beforeEach, describe, expect, test } from "vitest";
import { LIMITS } from "#contracts/limits.ts";
import {
  expectProblem,
  gatewayForEach,
  rawExchange,
  startTestGateway,
  statusOf,
  type TestGateway,
  type TestKeys,
} from "#test/harness/gateway.ts";
import { waitUntil } from "#test/harness/wait.ts";

let store: TestKeys;
let gateway: TestGateway;
const settings = { streamBufferBytes: 64 * 1_024, heartbeatMs: 200 };
/** Of a gateway of its own: a machine that is busy takes its time for requests that are not slow. */
const hurried = { headersTimeoutMs: 1_000, requestTimeoutMs: 2_000 };

gatewayForEach({ settings }, (each, keys) => {
  gateway = each;
  store = keys;
});

const messages = (encoded: string): string => `/v1/conversations/${encoded}/messages`;
const head = (method: string, path: string, more = ""): string =>
  `${method} ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer demo\r\n${more}`;
/** A client that asks for a stream and reads nothing of it. */
function askWithoutReading(port: number): Socket {
  const request = JSON.stringify({ text: "flood me" });
  const about = `Accept: text/event-stream\r\nContent-Type: application/json\r\nContent-Length: ${request.length}\r\n`;
  const socket = connect(port, "127.0.0.1").on("error", () => {});
  socket.pause();
  socket.write(`${head("POST", messages("ann"), about)}\r\n${request}`);
  return socket;
}

describe("bodies", () => {
  test("above the limit is 413", async () => {
    const body = JSON.stringify({ text: "x".repeat(LIMITS.bodyBytes) });
    const problem = await expectProblem(
      await gateway.ask(messages("ann"), { body }),
      413,
      "request.too-large",
    );
    expect(problem.detail).toContain(String(LIMITS.bodyBytes));
  });

  test("JSON nested 100,000 deep is 400 and the gateway lives", async () => {
    for (const body of [
      "[".repeat(100_000),
      `{"a":`.repeat(100_000),
      `{"text":"x","metadata":${"[".repeat(100_000)}${"]".repeat(100_000)}}`,
    ])
      await expectProblem(await gateway.ask(messages("ann"), { body }), 400, "request.invalid");
    await expectProblem(
      await gateway.ask("/v1/actors/basket/k/changed", {
        body: `${"[".repeat(100_000)}${"]".repeat(100_000)}`,
      }),
      400,
      "request.invalid",
    );
    expect((await gateway.ask(messages("ann"), { body: { text: `${"[{".repeat(500)}\\"` } })).status).toBe(
      200,
    );
  });

  test("what is not JSON, and JSON that would reach a prototype, is 400", async () => {
    for (const body of [
      "{",
      "nope",
      '{"text":"x","__proto__":{"a":1}}',
      '{"text":"x","metadata":{"__proto__":"a"}}',
      '{"text":"x","constructor":{"prototype":{}}}',
      "null",
      "[]",
      '{"text":1}',
      '{"text":"a","parts":[]}',
      "{}",
    ])
      await expectProblem(await gateway.ask(messages("ann"), { body }), 400, "request.invalid");
  });

  test("a body that is no UTF-8 is 400, and not kept with marks for what could not be read", async () => {
    const answer = await fetch(`http://127.0.0.1:${gateway.port}${messages("ann")}`, {
      method: "POST",
      headers: { authorization: "Bearer demo", "content-type": "application/json" },
      body: Buffer.from('{"text":"caf\u00e9"}', "latin1"),
    });
    const problem = await expectProblem(answer, 400, "request.invalid");
    expect(problem.detail).toContain("UTF-8");
  });

  test("another content type is 415", async () => {
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
      await expectProblem(
        await gateway.ask(messages("ann"), { body: "x", headers: { "content-type": type } }),
        415,
        "request.media-type",
      );
  });

  test("a validation problem names the field and not its value", async () => {
    const problem = await expectProblem(
      await gateway.ask(messages("ann"), { body: { text: 77_123 } }),
      400,
      "request.invalid",
    );
    expect(problem.detail).toContain("text");
    expect(problem.detail).not.toContain("77");
  });

  test("a body that breaks off is no message", async () => {
    await rawExchange(
      gateway.port,
      `${head("POST", messages("ann"), "Content-Type: application/json\r\nContent-Length: 100\r\n")}\r\n{"text":"x"}`,
    ).catch(() => "");
    expect((await gateway.ask("/healthz")).status).toBe(200);
    expect(gateway.conversations.sent).toEqual([]);
  });
});

describe("a gateway in a hurry", () => {
  beforeEach(async () => {
    await gateway.stop();
    gateway = await startTestGateway({ keys: store.keys, settings: hurried });
  });

  test("slow headers are closed by the time-out", async () => {
    const raw = await rawExchange(gateway.port, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ", {
      keepOpen: true,
    });
    expect(statusOf(raw)).toBe(408);
    expect(raw).toContain('"code":"request.timeout"');
  });

  test("a slow body is closed by the time-out", async () => {
    const raw = await rawExchange(
      gateway.port,
      `${head("POST", messages("ann"), "Content-Type: application/json\r\nContent-Length: 100\r\n")}\r\n{"te`,
      { keepOpen: true },
    );
    expect(statusOf(raw)).toBe(408);
    expect(gateway.conversations.sent).toEqual([]);
  });

  test("a socket that says nothing is closed as well", async () => {
    expect(await rawExchange(gateway.port, "", { keepOpen: true })).toMatch(/^$|^HTTP.1.1 408 /);
  });

  test("hundreds of idle sockets are closed", async () => {
    const sockets = idleSockets();
    await waitUntil(() => sockets.every((socket) => socket.closed), { what: "the idle sockets' end" });
  });
});

const idleSockets = () =>
  Array.from({ length: 500 }, () =>
    connect(gateway.port, "127.0.0.1")
      .on("error", () => {})
      .resume(),
  );

describe("sockets", () => {
  test("2,000 headers are 4xx", async () => {
    const short = Array.from({ length: 2_000 }, (_, n) => `a${n % 10}:b\r\n`).join("");
    const long = Array.from({ length: 2_000 }, (_, n) => `x-header-${n}: ${"v".repeat(20)}\r\n`).join("");
    for (const headers of [short, long]) {
      const raw = await rawExchange(
        gateway.port,
        `GET /healthz HTTP/1.1\r\nHost: x\r\n${headers}Connection: close\r\n\r\n`,
      );
      expect(statusOf(raw)).toBe(413);
      expect(raw).toContain('"code":"request.too-large"');
    }
  });

  test("bytes that are no HTTP are 400", async () => {
    expect(statusOf(await rawExchange(gateway.port, "\x16\x03\x01 hello\r\n\r\n"))).toBe(400);
  });

  test("a client that never reads its stream is dropped, and nobody else notices", async () => {
    let flood: NodeJS.Timeout | undefined;
    gateway.conversations.onMessage = (message) => {
      const turn = gateway.conversations.open(message);
      let number = 0;
      const chunk = "x".repeat(16_384);
      flood = setInterval(() => {
        for (let n = 0; n < 16; n++)
          gateway.conversations.delta(message, turn, 1, ++number, chunk, { stored: false });
      }, 5);
    };
    const socket = askWithoutReading(gateway.port);
    try {
      await waitUntil(() => gateway.logged().includes("dropped a stream"), { what: "the drop" });
    } finally {
      clearInterval(flood);
    }
    socket.destroy();
    gateway.conversations.onMessage = (message) => gateway.conversations.answer(message, "fine");
    expect(await (await gateway.ask(messages("bob"), { body: { text: "hi" } })).json()).toMatchObject({
      reply: "fine",
    });
  });

  test("one that stops to read is dropped as well where its answer has ended", async () => {
    const { promise: responding, resolve: respond } = Promise.withResolvers<ServerResponse>();
    gateway.app.server.once("request", (_request, response: ServerResponse) => respond(response));
    let flood: NodeJS.Timeout | undefined;
    gateway.conversations.onMessage = async (message) => {
      const response = await responding;
      const turn = gateway.conversations.open(message);
      let number = 0;
      flood = setInterval(() => {
        // More than its share waits for it, and no more than a burst may bring.
        if (response.writableLength > settings.streamBufferBytes) {
          clearInterval(flood);
          gateway.conversations.close(message, turn, "the end", { attempt: 1, number: ++number });
          return;
        }
        for (let n = 0; n < 16; n++)
          gateway.conversations.delta(message, turn, 1, ++number, "x".repeat(16_384), { stored: false });
      }, 5);
    };
    const socket = askWithoutReading(gateway.port);
    try {
      await waitUntil(() => gateway.logged().includes("dropped a stream"), { what: "the drop" });
    } finally {
      clearInterval(flood);
      socket.destroy();
    }
  });

  test("a stream has no head of its own that would be waited for in vain", async () => {
    for (const path of ["/v1/conversations/ann/events", "/v1/admin/events"])
      expect((await gateway.ask(path, { method: "HEAD" })).status).toBe(404);
  });

  test("streams are capped: one more is 429, and a closed one makes room", async () => {
    const small = await startTestGateway({ keys: store.keys, settings: { streams: 2 } });
    try {
      const leaving = new AbortController();
      const accept = { accept: "text/event-stream" };
      await small.ask("/v1/conversations/a/events", { headers: accept, signal: leaving.signal });
      await small.ask("/v1/conversations/b/events", { headers: accept });
      await expectProblem(
        await small.ask("/v1/conversations/c/events", { headers: accept }),
        429,
        "rate.limited",
      );
      leaving.abort();
      await waitUntil(
        async () => (await small.ask("/v1/conversations/c/events", { headers: accept })).status === 200,
        { what: "room" },
      );
    } finally {
      await small.stop();
    }
  });

  test("a quiet stream gets comments", async () => {
    const response = await gateway.ask("/v1/conversations/ann/events");
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    let text = "";
    while (!/^:$/m.test(text)) text += new TextDecoder().decode((await reader.read()).value);
    expect(text).toMatch(/^retry: \d+$/m);
    await reader.cancel();
  });

  test("hundreds of idle sockets leave the gateway answering", async () => {
    const sockets = idleSockets();
    expect((await gateway.ask("/healthz")).status).toBe(200);
    for (const socket of sockets) socket.destroy();
  });
});

describe("problems, health, description", () => {
  test("an unknown route is 404", async () => {
    await expectProblem(await gateway.ask("/v1/nothing"), 404, "route.not-found");
    await expectProblem(await gateway.ask("/nothing", { key: null }), 404, "route.not-found");
    await expectProblem(
      await gateway.ask("/v1/conversations/ann", { method: "PATCH" }),
      404,
      "route.not-found",
    );
  });

  test("the caller's trace is in the message, the header and the problem", async () => {
    const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
    const headers = { traceparent: `00-${traceId}-00f067aa0ba902b7-01` };
    const response = await gateway.ask(messages("ann"), { body: { text: "hi" }, headers });
    expect(response.headers.get("traceparent")).toContain(traceId);
    expect(gateway.conversations.sent[0]?.trace?.traceparent).toContain(traceId);
    const problem = await expectProblem(
      await gateway.ask("/v1/conversations/none", { headers }),
      404,
      "session.not-found",
    );
    expect(problem.traceId).toBe(traceId);
    const malformed = await gateway.ask("/healthz", { headers: { traceparent: "00-nope" } });
    expect(malformed.headers.get("traceparent")).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/);
  });

  test("health, readiness, metrics", async () => {
    expect(await (await gateway.ask("/healthz", { key: null })).json()).toEqual({ status: "ok" });
    expect((await gateway.ask("/readyz", { key: null })).status).toBe(200);
    // Monitors ask for the head alone.
    for (const path of ["/healthz", "/readyz"]) {
      const answer = await gateway.ask(path, { method: "HEAD", key: null });
      expect([path, answer.status, await answer.text()]).toEqual([path, 200, ""]);
    }
    gateway.readiness = { ready: false, reasons: ["the demo knowledge is not searchable yet"] };
    const waiting = await gateway.ask("/readyz", { key: null });
    expect(waiting.status).toBe(503);
    expect(await waiting.json()).toEqual({
      ready: false,
      reasons: ["the demo knowledge is not searchable yet"],
    });
    await gateway.ask("/v1/conversations/secret-session");
    const text = await (await gateway.ask("/metrics", { key: null })).text();
    expect(text).toMatch(
      /jetclaw_http_requests_total\{[^}]*route="\/v1\/conversations\/:session"[^}]*status="4xx"/,
    );
    expect(text).not.toContain("secret-session");
  });

  test("the OpenAPI description names every route", async () => {
    const description = (await (await gateway.ask("/openapi.json", { key: null })).json()) as {
      openapi: string;
      paths: Record<string, Record<string, unknown>>;
    };
    expect(description.openapi).toMatch(/^3\.1/);
    const routes = Object.entries(description.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(routes.sort()).toEqual([
      "DELETE /v1/admin/keys/{id}",
      "DELETE /v1/admin/sessions/{tenant}/{session}",
      "DELETE /v1/conversations/{session}",
      "DELETE /v1/knowledge/{collection}/{document}",
      "GET /healthz",
      "GET /metrics",
      "GET /readyz",
      "GET /v1/actors/{kind}/{key}",
      "GET /v1/admin/events",
      "GET /v1/admin/keys",
      "GET /v1/admin/sessions",
      "GET /v1/admin/sessions/{tenant}/{session}",
      "GET /v1/admin/status",
      "GET /v1/conversations/{session}",
      "GET /v1/conversations/{session}/events",
      "GET /v1/knowledge/{collection}",
      "GET /v1/knowledge/{collection}/{document}",
      "POST /v1/actors/{kind}/{key}/{message}",
      "POST /v1/admin/keys",
      "POST /v1/conversations/{session}/messages",
      "POST /v1/conversations/{session}/stop",
      "POST /v1/conversations/{session}/turns/{turn}/feedback",
      "POST /v1/knowledge/{collection}/events",
      "PUT /v1/knowledge/{collection}/{document}",
    ]);
  });

  test("neither text nor ids of a conversation are logged", async () => {
    await gateway.ask(messages("very-private-session"), { body: { text: "very private text" } });
    expect(gateway.logged()).toContain('"route":"/v1/conversations/:session/messages"');
    expect(gateway.logged()).not.toMatch(/very.private/);
  });
});
