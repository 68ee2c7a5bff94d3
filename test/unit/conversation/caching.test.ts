// What may be kept for others: an answer to a question before which the model saw nothing that matters.
import { expect, test, vi } from "vitest";
import { judge } from "#actors/cache/cacheability.ts";
import type { AnswerCache, CacheQuery } from "#actors/cache/port.ts";
import type { Assistant } from "#actors/conversation/assistants.ts";
import { PendingAnswers, planCaching } from "#actors/conversation/caching.ts";
import type { ConversationState, PastTurn } from "#actors/conversation/turn.ts";

const query = {
  tenant: "acme",
  question: "How long does delivery to Belgium take?",
  locale: "en",
  passages: [{}],
} as unknown as CacheQuery;
const assistant = { knowledge: ["shop"] } as unknown as Assistant;
const thanks = { messages: [{ text: "thanks" }], reply: "You are welcome." } as unknown as PastTurn;

const plan = (state: Partial<ConversationState>) =>
  planCaching({ judge } as AnswerCache, assistant, state as ConversationState, query);

test("small talk before a question colours nothing, a summary of what was said does", () => {
  expect(plan({ history: [thanks, thanks] }).keep).toBe(query);
  const summary = { text: "Ann of 12 Elm Street asked about her order.", upTo: 9 };
  const summarised = plan({ history: [thanks, thanks], summary });
  expect(summarised.keep).toBeUndefined();
  expect(summarised.query).toBe(query);
});

test("an answer by a batch API, hours later and after many others, is kept once", () => {
  const stored: CacheQuery[] = [];
  const store = async (of: CacheQuery): Promise<void> => void stored.push(of);
  const pending = new PendingAnswers({ store } as unknown as AnswerCache);
  const hours = (n: number): number => n * 3_600_000;
  pending.remember("mail", query, hours(24));
  const later = performance.now() + hours(20);
  const spy = vi.spyOn(performance, "now").mockImplementation(() => later);
  try {
    for (let n = 0; n < 100; n++) pending.remember(`chat-${n}`, query, 60_000);
    const answer = { reply: "Two days.", citations: [], model: "m" };
    for (let times = 0; times < 2; times++) pending.settle("mail", "s", answer);
  } finally {
    spy.mockRestore();
  }
  expect(stored).toEqual([query]);
});
