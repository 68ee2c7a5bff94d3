/** What the caches would do with a question, as the first of a conversation or after something was said, and why. */
import { LIMITS } from "#contracts/limits.ts";
import type { ExplainAsk, Explanation } from "../cache/port.ts";
import { type Answering, DEFAULT_LOCALE } from "./answering.ts";
import { cacheQueryOf, NOWHERE } from "./caching.ts";

type Explaining = Pick<Answering, "assistants" | "retriever" | "router" | "languageOf" | "cache">;

/** The same steps as a turn's, without a turn: nothing is asked of a model and nothing kept. */
export async function explainCaching(answering: Explaining, asked: ExplainAsk): Promise<Explanation> {
  const { assistants, retriever, router, languageOf, cache } = answering;
  const { tenant, text: question, ongoing } = asked;
  const assistant = assistants.get(asked.assistant);
  const locale = asked.locale ?? languageOf(question) ?? DEFAULT_LOCALE;
  const position = cache?.position() ?? NOWHERE;
  const passages =
    assistant.knowledge.length === 0
      ? []
      : await retriever.retrieve({
          tenant,
          collections: assistant.knowledge,
          question,
          locale,
          limit: LIMITS.passages,
        });
  const cls = ongoing ? "ongoing" : "new";
  const { tier } = asked.tier
    ? { tier: asked.tier }
    : router.route({
        tenant,
        assistant: assistant.name,
        policy: assistant.model,
        question,
        locale,
        channel: "web",
        cls,
      });
  const query = cacheQueryOf(tenant, assistant, { tier, locale, question, passages, position });
  const earlier = ongoing ? [{ messages: ["Something was asked."], reply: "And answered." }] : [];
  const judged = cache?.judge({ question, locale, earlier });
  const off = !cache || assistant.cache?.enabled === false;
  return {
    tenant,
    assistant: assistant.name,
    locale,
    tier,
    off,
    levels: off || passages.length === 0 ? "none" : (judged?.levels ?? "none"),
    reason: judged && judged.levels !== "both" ? judged.reason : null,
    passages: passages.map(({ collection, document, revision }) => ({ collection, document, revision })),
    ...(await (cache?.explain(query) ?? { id: "", response: { state: "none" }, semantic: null })),
  };
}
