// The semantic level over real hosts: what one learns others serve, nothing outdated is served, what is removed stays
// away, a host that starts knows what was learned before, and embeddings that hang cost no more than their bound.
import { afterAll, beforeAll, expect, test } from "vitest";
import { invalidate } from "#actors/cache/invalidator.ts";
import type { CachedAnswer, CacheQuery, Hit } from "#actors/cache/port.ts";
import { BUCKETS } from "#contracts/subjects.ts";
import { Kv } from "#runtime/nats/kv.ts";
import { stretchPatience } from "#runtime/within.ts";
import {
  type CacheChange,
  type KnowledgeWorld,
  knowledgeWorld,
  type Reader,
} from "#test/harness/knowledge.ts";
import { PATIENCE_MS, waitUntil } from "#test/harness/wait.ts";

const TENANT = "acme";
const TOPICS = ["zebra", "walrus", "parrot", "salmon", "badger", "gibbon"];
const WORDINGS = [
  (topic: string) => `What does a ${topic} eat?`,
  (topic: string) => `Please tell me what a ${topic} eats`,
  (topic: string) => `What is the food of a ${topic}?`,
  (topic: string) => `What food does the ${topic} eat`,
  (topic: string) => `I want to know what a ${topic} eats`,
  (topic: string) => `Which food does a ${topic} like to eat?`,
  (topic: string) => `Can you say what the ${topic} eats?`,
  (topic: string) => `What do people feed to a ${topic} to eat?`,
  (topic: string) => `What should a ${topic} eat?`,
  (topic: string) => `What would a ${topic} eat for food`,
  (topic: string) => `What does the ${topic} usually eat?`,
  (topic: string) => `Tell me which food a ${topic} eats`,
];

/** As near as the topics are, and a little apart by the wording. */
const vectorOf = async (question: string): Promise<Float32Array | undefined> => {
  const vector = new Float32Array(TOPICS.length + 1);
  const topic = TOPICS.findIndex((each) => question.includes(each));
  vector[topic < 0 ? TOPICS.length : topic] = 1;
  vector[TOPICS.length] = (question.length % 7) / 40;
  const length = Math.hypot(...vector);
  return vector.map((x) => x / length);
};
const SEMANTIC: CacheChange = { vectorOf, semantic: { checkShare: 0, errorBound: 0.1, slotsOf: () => [] } };

let world: KnowledgeWorld;
let one: Reader;
let two: Reader;
beforeAll(async () => {
  world = await knowledgeWorld();
  one = await world.reader("one", SEMANTIC);
  two = await world.reader("two", SEMANTIC);
  for (const topic of TOPICS) await put(topic, `A ${topic} eats what a ${topic} likes: food number one.`);
});
afterAll(() => world?.stop());

async function put(document: string, text: string): Promise<number> {
  const { revision } = await world.store.put(TENANT, "c", document, { title: document, text, locale: "en" });
  expect(await world.store.waitIndexed(revision, PATIENCE_MS)).toBe(true);
  return revision;
}

async function queryOf(reader: Reader, question: string): Promise<CacheQuery> {
  const position = reader.cache.position();
  const asked = { tenant: TENANT, collections: ["c"], question, locale: "en", limit: 3 };
  const passages = await reader.retriever.retrieve(asked);
  const scope = { tenant: TENANT, assistant: "a", assistantVersion: "1", tier: "small", locale: "en" };
  return { ...scope, question, passages, position };
}

/** The oracle cites the document of the question's topic. */
function answerOf({ question, passages }: CacheQuery): CachedAnswer {
  const passage = passages.find(({ document }) => question.includes(document));
  if (!passage) return { reply: "I do not know.", citations: [], model: "fake" };
  const { collection, document, revision, title, text } = passage;
  return {
    reply: text,
    citations: [{ collection, document, revision, title, passage: text }],
    model: "fake",
  };
}

async function ask(reader: Reader, question: string, session: string): Promise<Hit | undefined> {
  const query = await queryOf(reader, question);
  const hit = await reader.cache.lookup(query);
  if (!hit) await reader.cache.store(query, answerOf(query), session);
  else expect(hit.answer.reply).toContain(TOPICS.find((topic) => question.includes(topic)));
  return hit;
}

const all = (): string[] => WORDINGS.flatMap((wording) => TOPICS.map(wording));

test("wordings never seen are served from what was learned, on the host that learned and on others", async () => {
  let served = 0;
  for (const [n, question] of all().entries()) {
    const hit = await ask(one, question, `s${n % 10}`);
    if (hit?.level === "semantic") served++;
  }
  expect(served).toBeGreaterThan(5);
  const fresh = (topic: string): string => `Say, what food would the ${topic} eat?`;
  await waitUntil(
    async () => (await two.cache.lookup(await queryOf(two, fresh("zebra"))))?.level === "semantic",
    { what: "the lessons of the other host" },
  );
  const three = await world.reader("three", SEMANTIC);
  await waitUntil(
    async () => (await three.cache.lookup(await queryOf(three, fresh("walrus"))))?.level === "semantic",
    { what: "what was learned before the start" },
  );
  console.log(`${all().length} questions, ${served} served by meaning`);
});

test("after a change nothing that rests on the old text is served, nor what new text near the question may better", async () => {
  const changed = "Say, which food would the parrot eat?";
  const near = "Say, which food would the salmon eat?";
  for (const question of [changed, near])
    await waitUntil(
      async () => (await two.cache.lookup(await queryOf(two, question)))?.level === "semantic",
      { what: `an answer to ${question}` },
    );
  await put("news", "Salmon: the food that a salmon would eat is not sold any more.");
  expect(await two.cache.lookup(await queryOf(two, near))).toBeUndefined();
  await put("parrot", "A parrot eats what a parrot likes: food number two.");
  expect(await two.cache.lookup(await queryOf(two, changed))).toBeUndefined();
});

test("the invalidator removes what depends on a change from the store, both levels alike", async () => {
  const kv = new Kv(world.bus, BUCKETS.cache);
  const dependents = async (): Promise<number> => (await kv.keys(`d.${TENANT}.c.badger.*`)).length;
  expect(await dependents()).toBeGreaterThan(0);
  await invalidate(kv, { tenant: TENANT, collection: "c", document: "badger" }, 1_000_000);
  expect(await dependents()).toBe(0);
});

test("an erased session takes its entries and lessons along, on every host", async () => {
  const kv = new Kv(world.bus, BUCKETS.cache);
  const entries = async (): Promise<number> => (await kv.keys(`a.${TENANT}.*`)).length;
  const before = await entries();
  const held = two.cache.status().entries;
  await one.cache.forget(TENANT, "s3");
  const removed = before - (await entries());
  expect(removed).toBeGreaterThan(0);
  await waitUntil(() => two.cache.status().entries <= held - 1, { what: "the other host" });
});

test("embeddings that hang are not waited for, and the words are compared alone", async () => {
  stretchPatience(1);
  const hanging = await world.reader("hanging", { ...SEMANTIC, vectorOf: () => new Promise(() => {}) });
  const query = await queryOf(hanging, "What ever does a gibbon eat?");
  await hanging.cache.lookup(query);
});
