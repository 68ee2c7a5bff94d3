/** The messages a chat model sees: instructions, numbered passages, history, question. Pure. */
import type { ChatMessage, Passage } from "#contracts/job.ts";
import { type Assistant, instructionsFor } from "./assistants.ts";
import type { PastTurn } from "./turn.ts";

const GROUNDING =
  "Answer from the numbered passages that come with the question and mark each statement with the number of its passage in square brackets, like [1]. " +
  "If the passages do not answer the question, say that you do not know. Answer in the language of the question.";

export interface PromptInput {
  readonly assistant: Assistant;
  readonly locale: string;
  readonly passages: readonly Passage[];
  /** What came before the history, where it was summarised. */
  readonly summary?: string | undefined;
  readonly history: readonly PastTurn[];
  readonly question: string;
}

export function buildMessages(input: PromptInput): ChatMessage[] {
  const { assistant, locale, passages, summary, history, question } = input;
  const parts = [instructionsFor(assistant, locale)];
  if (assistant.knowledge.length > 0) parts.push(GROUNDING);
  if (summary) parts.push(`Summary of what was said before:\n${summary}`);
  const said = alternating([
    ...history
      .flatMap((turn): ChatMessage[] => [
        { role: "user", content: turn.messages.map(({ text }) => text).join("\n") },
        { role: "assistant", content: turn.reply },
      ])
      .filter(({ content }) => content !== ""),
    { role: "user", content: withPassages(question, passages) },
  ]);
  // What the bot said before anybody asked.
  if (said[0]?.role === "assistant") parts.push(`You wrote to the user first:\n${said.shift()?.content}`);
  const system = parts.filter(Boolean).join("\n\n");
  return [...(system ? [{ role: "system" as const, content: system }] : []), ...said];
}

/**
 * No two of one role in a row: a turn that was stopped has no reply, one that the bot began no question, and servers with
 * a strict chat template (Gemma's, Mistral's) refuse such a conversation from then on.
 */
function alternating(messages: readonly ChatMessage[]): ChatMessage[] {
  const told: ChatMessage[] = [];
  for (const { role, content } of messages) {
    const last = told.at(-1);
    if (last?.role === role) told[told.length - 1] = { role, content: `${last.content}\n\n${content}` };
    else told.push({ role, content });
  }
  return told;
}

/**
 * Passages go with the question, not with the instructions: they differ from turn to turn, and what stays the same at
 * the front is what a provider's prompt cache keeps.
 */
function withPassages(question: string, passages: readonly Passage[]): string {
  if (passages.length === 0) return question;
  const numbered = passages.map((p, n) => `[${n + 1}] ${p.title}\n${p.text}`).join("\n\n");
  return `Passages:\n\n${numbered}\n\nQuestion: ${question}`;
}
