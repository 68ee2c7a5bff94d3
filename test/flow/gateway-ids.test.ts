// Ids as they come: what is a plain id, what is refused, and what stays data.
import { describe, expect, test } from "vitest";
import {
  expectProblem,
  gatewayForEach,
  rawExchange,
  statusOf,
  type TestGateway,
} from "#test/harness/gateway.ts";

let gateway: TestGateway;
gatewayForEach({}, (each) => {
  gateway = each;
});

const messages = (encoded: string): string => `/v1/conversations/${encoded}/messages`;
const head = (method: string, path: string, more = ""): string =>
  `${method} ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer demo\r\n${more}`;

describe("ids", () => {
  const plain = [
    "a.b",
    "*",
    ">",
    "a..b",
    ".a",
    "$JS.API.STREAM.DELETE.X",
    "__proto__",
    "constructor",
    "<m@host>",
    "1.2.3.4:5",
    "a/b",
    "a%2Fb",
    "a%b",
    "раypal",
    "paypal",
    "é".repeat(128),
    "#?&",
  ];

  test.each(plain)("%s is a plain id as session, document, message id and key of metadata", async (id) => {
    const answer = await gateway.ask(messages(encodeURIComponent(id)), {
      body: { text: "hi", id, metadata: { note: id } },
    });
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ session: id });
    expect(gateway.conversations.sent[0]).toMatchObject({
      tenant: "demo",
      session: id,
      id,
      body: { metadata: { note: id } },
    });
    const path = `/v1/knowledge/${encodeURIComponent(id)}/${encodeURIComponent(id)}`;
    await gateway.ask(path, { method: "PUT", body: { title: "t", text: "t" } });
    expect(await (await gateway.ask(path)).json()).toMatchObject({ collection: id, document: id });
  });

  test("each of them is a conversation of its own", async () => {
    for (const id of plain) await gateway.ask(messages(encodeURIComponent(id)), { body: { text: "hi" } });
    for (const id of plain) {
      const transcript = (await (
        await gateway.ask(`/v1/conversations/${encodeURIComponent(id)}`)
      ).json()) as { turns: unknown[] };
      expect([id, transcript.turns.length]).toEqual([id, 1]);
    }
  });

  test.each([
    ["empty", ""],
    ["space", "%20"],
    ["tab", "a%09b"],
    ["CR LF", "a%0D%0Ab"],
    ["NUL", "%00"],
    ["no-break space", "%C2%A0"],
    ["5,000 characters", "x".repeat(5_000)],
    ["257 characters", "x".repeat(257)],
    ["257 encoded characters", "%C3%A9".repeat(257)],
  ])("a session that is %s is 400 request.id", async (_name, encoded) => {
    await expectProblem(await gateway.ask(messages(encoded), { body: { text: "hi" } }), 400, "request.id");
    expect(gateway.conversations.sent).toEqual([]);
  });

  test.each([
    ["empty", ""],
    ["space", " "],
    ["CR LF", "a\r\nb"],
    ["NUL", "\0"],
    ["a lone surrogate", "\ud800"],
    ["5,000 characters", "x".repeat(5_000)],
  ])("a message id that is %s is 400 request.id", async (_name, id) => {
    await expectProblem(await gateway.ask(messages("ann"), { body: { text: "hi", id } }), 400, "request.id");
  });

  test("ids of knowledge and actors are held to the same rule", async () => {
    for (const path of [
      "/v1/knowledge/%20",
      "/v1/knowledge/a/%09",
      "/v1/actors/%20/k",
      "/v1/actors/k/%0D",
      "/v1/conversations/%20/events",
    ])
      await expectProblem(await gateway.ask(path), 400, "request.id");
    const idempotency = { headers: { "idempotency-key": "a b" }, body: {} };
    await expectProblem(await gateway.ask("/v1/actors/basket/k/changed", idempotency), 400, "request.id");
  });

  test("invalid percent-encoding is 400", async () => {
    for (const encoded of ["%", "%zz", "%ff", "%ED%A0%80"]) {
      const raw = await rawExchange(
        gateway.port,
        `${head("GET", `/v1/conversations/${encoded}`)}Connection: close\r\n\r\n`,
      );
      expect([encoded, statusOf(raw)]).toEqual([encoded, 400]);
      expect(raw).toContain('"code":"request.invalid"');
    }
  });

  test("CR LF and a NATS header in metadata stay data", async () => {
    const metadata = { note: "a\r\nNats-TTL: 1s\r\n\r\n", "Nats-Msg-Id": "x" };
    await gateway.ask(messages("ann"), { body: { text: "hi", metadata }, headers: { "Nats-TTL": "1s" } });
    expect(gateway.conversations.sent[0]?.body.metadata).toEqual(metadata);
    expect(JSON.stringify(gateway.conversations.sent[0]).toLowerCase()).not.toContain('"nats-ttl":');
  });
});
