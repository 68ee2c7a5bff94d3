/** The OpenAI-compatible routes as `/openapi.json` shows them. Nothing is checked with these schemas. */
import { z } from "zod";
import { MESSAGES } from "./messages.ts";
import { OUTPUT_TOKENS } from "./request.ts";

const message = z.looseObject({
  role: z.enum(["system", "developer", "user", "assistant", "tool"]),
  content: z.union([z.string(), z.array(z.looseObject({ type: z.string() })), z.null()]).optional(),
});
const limit = z.number().int().min(1).max(OUTPUT_TOKENS).nullable().optional();

export const completionBody = z
  .looseObject({
    model: z.string().meta({ description: "`auto`, a pool, or a model of a pool." }),
    messages: z.array(message).min(1).max(MESSAGES),
    stream: z.boolean().nullable().optional(),
    stream_options: z.object({ include_usage: z.boolean().optional() }).nullable().optional(),
    max_tokens: limit,
    max_completion_tokens: limit,
    temperature: z.number().min(0).max(2).nullable().optional(),
    top_p: z.number().min(0).max(1).nullable().optional(),
    n: z.literal(1).nullable().optional(),
    stop: z
      .union([z.string(), z.array(z.string()).max(4)])
      .nullable()
      .optional(),
    tools: z
      .array(z.looseObject({ type: z.literal("function") }))
      .max(128)
      .nullable()
      .optional(),
  })
  .meta({
    description:
      "As OpenAI describes it, with tool_choice, response_format, seed, penalties, logit_bias, user, reasoning_effort and verbosity besides. What is not known is refused.",
  });

const usage = z.looseObject({
  prompt_tokens: z.number().int(),
  completion_tokens: z.number().int(),
  total_tokens: z.number().int(),
});
const completion = z.looseObject({
  id: z.string(),
  object: z.literal("chat.completion"),
  created: z.number().int(),
  model: z.string(),
  choices: z.array(
    z.looseObject({ index: z.literal(0), message, finish_reason: z.enum(["stop", "length", "tool_calls"]) }),
  ),
  usage,
});
const failure = z
  .object({
    error: z.object({
      message: z.string(),
      type: z.string(),
      param: z.string().nullable(),
      code: z.string().nullable(),
    }),
  })
  .meta({ id: "OpenAiError", description: "A failure in OpenAI's shape." });

export const completionResponses = {
  200: {
    description: "The answer; with `stream`, chunks that end in [DONE] only when the answer is complete",
    content: { "application/json": { schema: completion }, "text/event-stream": { schema: z.string() } },
  },
  "4xx": failure,
  "5xx": failure,
};

export const modelResponse = z.object({
  id: z.string(),
  object: z.literal("model"),
  created: z.number().int(),
  owned_by: z.string(),
});
export const modelsResponse = z.object({ object: z.literal("list"), data: z.array(modelResponse) });
