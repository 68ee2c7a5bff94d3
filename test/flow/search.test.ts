/** Searching from a gateway whose process holds no documents. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { remoteSearch } from "#actors/knowledge/ask-retrieval.ts";
import { encodeFound } from "#actors/knowledge/retrieval-wire.ts";
import { configSchema } from "#contracts/config.ts";
import { CORE } from "#contracts/subjects.ts";
import { connectTo, contextOf, provisionFor } from "#ops/compose/open.ts";
import { type Knowledge, type Role, startKnowledge } from "#ops/compose/roles.ts";
import { capturedLog } from "#test/harness/gateway.ts";
import { PASSAGE } from "#test/harness/knowledge.ts";
import { startTestNats, type TestNats } from "#test/harness/nats.ts";

let nats: TestNats;
const open: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  nats = await startTestNats();
});
afterAll(async () => {
  for (const close of open.reverse()) await close();
  await nats.stop();
});

/** As the processes of a deployment start, each on its own connection. */
async function processOf(role: Role, retrieval: "local" | "remote"): Promise<Knowledge> {
  const { log } = capturedLog();
  const config = configSchema.parse({ retrieval });
  const bus = await connectTo(nats.url, role, log);
  open.push(() => bus.close());
  const knowledge = await startKnowledge(contextOf(bus, await provisionFor(bus, config), config, log), [
    role,
  ]);
  open.push(() => knowledge.stop());
  return knowledge;
}

const query = (tenant: string) => ({
  tenant,
  collections: ["shop"],
  question: "How long does delivery take?",
  limit: 3,
});

test("a gateway alone searches in the documents of a conversation host, and says when there is none", async () => {
  const gateway = await processOf("gateway", "local");
  await expect(gateway.search.retrieve(query("acme"))).rejects.toMatchObject({
    code: "knowledge.unavailable",
  });

  const host = await processOf("conversation", "local");
  const { revision } = await gateway.store.put("acme", "shop", "delivery", {
    title: "Delivery",
    text: "Delivery takes two to three working days.",
  });
  expect(await gateway.store.waitIndexed(revision, 20_000)).toBe(true);
  const passages = await gateway.search.retrieve(query("acme"));
  expect(passages.map(({ document }) => document)).toEqual(["delivery"]);
  expect(await gateway.search.retrieve(query("another-tenant"))).toEqual([]);

  await host.stop();
  await expect(gateway.search.retrieve(query("acme"))).rejects.toMatchObject({
    code: "knowledge.unavailable",
  });
});

test.each([
  { who: "is frozen", answer: undefined, times: 1 },
  { who: "is busy", answer: { passages: [], fresh: false, busy: true }, times: 6 },
  { who: "has to prove its index", answer: { passages: [], fresh: false }, times: 6 },
])("a search goes on while it has time where whoever was asked first $who", async ({ answer, times }) => {
  const bus = await connectTo(nats.url, "role", capturedLog().log);
  open.push(() => bus.close());
  let asked = 0;
  const role = bus.subscribe(CORE.retrieval, ({ respond }) => {
    if (asked++ >= times) respond(encodeFound({ passages: [PASSAGE], fresh: true }));
    else if (answer) respond(encodeFound(answer));
  });
  const found = await remoteSearch(bus)
    .retrieve(query("acme"))
    .finally(() => role.stop());
  expect(found).toMatchObject([{ document: "d" }]);
});
