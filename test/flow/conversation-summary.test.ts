// A conversation longer than its history, with a model behind it: what it said long ago comes back as a summary.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { configSchema } from "#contracts/config.ts";
import { LIMITS } from "#contracts/limits.ts";
import { ConversationWorld } from "#test/harness/conversation-world.ts";
import { waitUntil } from "#test/harness/wait.ts";

interface Asked {
  readonly stream?: boolean;
  readonly messages: readonly { readonly role: string; readonly content: string }[];
}

/** A model server that writes down what it is asked; it fails to summarise while it is told to. */
const asked: Asked[] = [];
const model = { fails: false, summaries: 0 };
let server: Server;
let world: ConversationWorld;

beforeAll(async () => {
  server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = JSON.parse(Buffer.concat(chunks).toString("utf8")) as Asked;
    asked.push(body);
    const summarises = body.messages[0]?.content.startsWith("Summarise") === true;
    if (summarises && model.fails)
      return response.writeHead(400).end(JSON.stringify({ error: { message: "no" } }));
    const content = summarises ? `summary ${++model.summaries}` : "An answer.";
    const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 };
    if (!body.stream) {
      response.writeHead(200, { "content-type": "application/json" });
      const message = { role: "assistant", content };
      return response.end(JSON.stringify({ choices: [{ index: 0, message, finish_reason: "stop" }], usage }));
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    const chunk = { choices: [{ index: 0, delta: { content }, finish_reason: "stop" }], usage };
    return response.end(`data: ${JSON.stringify(chunk)}\n\ndata: [DONE]\n\n`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  const { pools } = configSchema.parse({
    pools: { default: { models: [{ name: "m", baseUrl, apiKey: "k" }] } },
  });
  world = await ConversationWorld.start(2);
  await world.host({ pools });
  await world.worker({}, { pools });
});
afterAll(async () => {
  await world?.stop();
  server?.closeAllConnections();
  server?.close();
});

async function talk(session: string, from: number, to: number): Promise<void> {
  for (let n = from; n <= to; n++) {
    await world.send(session, `m${n}`, `Question number ${n}?`);
    await world.closed(session, n);
  }
}
/** What the model saw with the last question of a conversation. */
const promptOf = (n: number): Asked["messages"] =>
  asked.findLast(({ messages }) => messages.at(-1)?.content === `Question number ${n}?`)?.messages ?? [];

test("older turns are in the prompt as a summary, newer ones in full, and one is written at a time", async () => {
  const full = Math.ceil(LIMITS.historyTurns * 0.75);
  await talk("long", 1, full);
  await waitUntil(() => model.summaries === 1, { what: "the first summary" });
  await talk("long", full + 1, full + 1);
  // The result may arrive behind the question that follows it; the one after that knows it.
  await talk("long", full + 2, full + 2);
  const prompt = promptOf(full + 2);
  expect(prompt[0]?.content).toContain("summary 1");
  const text = JSON.stringify(prompt);
  expect(text).not.toContain("Question number 1?");
  expect(text).toContain(`Question number ${full}?`);

  await talk("long", full + 3, 3 * LIMITS.historyTurns);
  await waitUntil(() => model.summaries >= 3, { what: "more summaries" });
  const second = asked.filter(({ messages }) => messages[0]?.content.startsWith("Summarise"))[1];
  expect(second?.messages[1]?.content).toContain("summary 1");
  // Nothing of it is a turn, and nobody who follows the session hears of it.
  const transcript = await world.client.transcript("demo", "long");
  expect(transcript?.turns).toHaveLength(3 * LIMITS.historyTurns);
  expect(JSON.stringify(transcript)).not.toContain("summary");
});

test("a summary that fails costs the conversation nothing but its older turns", async () => {
  model.fails = true;
  const turns = LIMITS.historyTurns + 3;
  await talk("failing", 1, turns);
  const prompt = promptOf(turns);
  expect(prompt.filter(({ role }) => role === "user")).toHaveLength(LIMITS.historyTurns + 1);
  expect(JSON.stringify(prompt)).not.toContain("summary");
  expect((await world.client.transcript("demo", "failing"))?.turns).toHaveLength(turns);
});
