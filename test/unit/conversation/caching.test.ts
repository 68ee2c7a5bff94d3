// What may be kept for others: an answer to a question before which the model saw nothing that matters.
import { expect, test } from "vitest";
import { judge } from "#actors/cache/cacheability.ts";
import type { AnswerCache, CacheQuery } from "#actors/cache/port.ts";
import type { Assistant } from "#actors/conversation/assistants.ts";
import { planCaching } from "#actors/conversation/caching.ts";
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
  planCaching({ cache: { judge } as AnswerCache }, assistant, state as ConversationState, query);

test("small talk before a question colours nothing, a summary of what was said does", () => {
  expect(plan({ history: [thanks, thanks] }).keep).toBe(query);
  const summary = { text: "Ann of 12 Elm Street asked about her order.", upTo: 9 };
  const summarised = plan({ history: [thanks, thanks], summary });
  expect(summarised.keep).toBeUndefined();
  expect(summarised.query).toBe(query);
});
