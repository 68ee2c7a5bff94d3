/**
 * Messages as one prompt, for servers that complete text. Each message is its role, a colon and its text, with a blank
 * line between them; the prompt ends where the assistant speaks next. Models with a template of their own answer better
 * through `chat-batch`, where the server applies it.
 */
import type { ChatMessage } from "#contracts/job.ts";

const NAMES = { system: "System", user: "User", assistant: "Assistant", tool: "Tool" } as const;
const NAME_AT_LINE_START = /^(?=(?:System|User|Assistant|Tool):)/gm;

/** Where a model that plays on would begin the next question. */
export const STOP_SEQUENCES: readonly string[] = ["\nUser:", "\nSystem:"];

export function promptOf(messages: readonly ChatMessage[]): string {
  // A user who writes "System:" at the start of a line must not speak in its name: a space takes the line's start away.
  const lines = messages.map(
    ({ role, content }) => `${NAMES[role]}: ${content.replace(NAME_AT_LINE_START, " ")}`,
  );
  return `${[...lines, "Assistant:"].join("\n\n")}`;
}
