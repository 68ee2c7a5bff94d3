/** What the simulated model says, and how it is cut into tokens. */
import type { SimulatorOptions } from "./options.ts";

export interface ChatMessage {
  readonly role: string;
  readonly content: string;
}

const TOKEN_CHARS = 4;
const ASKED_LENGTH = /\bin (\d{1,6}) tokens\b/;
const FILLER =
  " Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore.";

/** Repeats the last user message, so that a test recognises its answer, and fills up to the wanted size. */
export function answerTo(messages: readonly ChatMessage[], model: string, options: SimulatorOptions): string {
  const marker = options.cite ? " [1]" : "";
  if (options.answer) return options.answer(messages, model) + marker;
  const last = messages.findLast(({ role }) => role === "user")?.content ?? "";
  const head = `Simulated answer to: ${last.slice(0, 200)}`;
  const asked = options.lengths ? ASKED_LENGTH.exec(last)?.[1] : undefined;
  if (asked !== undefined)
    return filled(head, Number(asked) * TOKEN_CHARS).slice(0, Number(asked) * TOKEN_CHARS);
  return filled(head, options.replyBytes - marker.length) + marker;
}

function filled(head: string, bytes: number): string {
  const missing = Math.max(0, bytes - head.length);
  return head + FILLER.repeat(Math.ceil(missing / FILLER.length)).slice(0, missing);
}

/** Pieces of about one token each. */
export function tokensOf(text: string): string[] {
  const tokens: string[] = [];
  for (let at = 0; at < text.length; at += TOKEN_CHARS) tokens.push(text.slice(at, at + TOKEN_CHARS));
  return tokens;
}

export function countTokens(messages: readonly ChatMessage[]): number {
  return Math.ceil(messages.reduce((sum, { content }) => sum + content.length, 0) / TOKEN_CHARS);
}
