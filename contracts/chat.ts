/**
 * A request of the OpenAI-compatible endpoint as it travels in a job, and what comes back on its reply subject. The
 * gateway has checked it; a worker hands it to the provider as it is.
 */
import { z } from "zod";
import type { JobResult } from "./job.ts";
import type { StreamEvent } from "./turn.ts";

/** Options that reach the provider under their own names. */
export const CHAT_OPTIONS = [
  "temperature",
  "top_p",
  "stop",
  "seed",
  "presence_penalty",
  "frequency_penalty",
  "logit_bias",
  "user",
  "tools",
  "tool_choice",
  "parallel_tool_calls",
  "response_format",
  "reasoning_effort",
  "verbosity",
] as const;

export const chatRequestSchema = z.object({
  /** The messages as they were sent, where they are more than text; else the job's own are the same. */
  messages: z.array(z.unknown()).nullish(),
  options: z.partialRecord(z.enum(CHAT_OPTIONS), z.unknown()),
});
export type ChatRequest = z.infer<typeof chatRequestSchema>;

/** A function that the model wants to be called; its arguments are JSON as the model wrote it, which may be none. */
export const toolCallSchema = z.object({ id: z.string(), name: z.string(), arguments: z.string() });
export type ToolCall = z.infer<typeof toolCallSchema>;

/** What a worker says on the reply subject of a job: its stream where one is read, then its result. */
export type ReplyEvent = StreamEvent | { readonly type: "result"; readonly result: JobResult };
