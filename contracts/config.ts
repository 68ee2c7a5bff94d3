/** The shape of `jetclaw.config.ts`. Everything has a default; functions (actors, channels, tools) pass through untouched. */
import { z } from "zod";
import { isId } from "./ids.ts";
import { priceSchema } from "./usage.ts";

/** A secret by reference: the value is read from the environment when the process starts, never stored. */
export interface EnvReference {
  readonly env: string;
}
/** Refers to an environment variable from the configuration. */
export const env = (name: string): EnvReference => ({ env: name });

const secret = z.union([z.string(), z.object({ env: z.string() }), z.object({ file: z.string() })]);
const name = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, "1 to 64 letters, digits, _ or -");
const id = z.custom<string>(isId, "an id of 1 to 256 characters without white space");

export const assistantSchema = z.strictObject({
  /** One text, or one a language. */
  instructions: z.union([z.string(), z.record(z.string(), z.string())]).default(""),
  /** Collections it answers from. */
  knowledge: z.array(id).default([]),
  tools: z.array(z.unknown()).default([]),
  /** A pool, a model of any pool, or "auto". */
  model: z.string().default("auto"),
  handover: z.object({ after: z.number().int().positive(), to: z.string() }).optional(),
  /** Most tokens of an answer. */
  maxOutputTokens: z.number().int().positive().optional(),
  temperature: z.number().min(0).max(2).optional(),
});
export type AssistantConfig = z.infer<typeof assistantSchema>;

export const modelSchema = z.strictObject({
  name: z.string().min(1).max(256),
  /** `openai` speaks to any OpenAI-compatible server; `kb-extract` and `echo` are built in. */
  provider: z.enum(["openai", "kb-extract", "echo"]).default("openai"),
  baseUrl: z.url({ protocol: /^https?$/ }).optional(),
  apiKey: secret.optional(),
  price: priceSchema.optional(),
  contextTokens: z.number().int().positive().optional(),
  /** Requests one worker runs at once on this model. */
  concurrency: z.number().int().positive().max(1_024).default(8),
});
export type ModelConfig = z.infer<typeof modelSchema>;

export const poolSchema = z.strictObject({
  /** Quality class; conversations keep their tier. Defaults to the pool's name. */
  tier: z.string().optional(),
  models: z.array(modelSchema).min(1),
  /** Pools to try when every model of this one fails. */
  fallback: z.array(name).default([]),
});
export type PoolConfig = z.infer<typeof poolSchema>;

export const configSchema = z
  .strictObject({
    assistants: z.record(name, assistantSchema).default({}),
    pools: z.record(name, poolSchema).default({}),
    budgets: z.record(id, z.object({ usdPerDay: z.number().positive() })).default({}),
    channels: z.array(z.unknown()).default([]),
    actors: z.array(z.unknown()).default([]),
    /** How long a turn may take. */
    turnDeadlineMs: z.number().int().min(13_000).max(500_000).optional(),
    /** Numbered copies of the streams; fixed when a deployment is provisioned. */
    shards: z.union([z.literal(1), z.literal(2), z.literal(4), z.literal(8), z.literal(16)]).optional(),
    /** Stream replicas: 1 on one node, 3 in a cluster. */
    replicas: z.union([z.literal(1), z.literal(3), z.literal(5)]).optional(),
    /** Activations a host keeps in memory. */
    residency: z.number().int().positive().optional(),
    responseCache: z.boolean().default(true),
  })
  .superRefine((config, context) => {
    for (const [pool, { fallback }] of Object.entries(config.pools))
      for (const other of fallback)
        if (!(other in config.pools))
          context.addIssue({
            code: "custom",
            path: ["pools", pool, "fallback"],
            message: `there is no pool "${other}"`,
          });
  });
export type Config = z.infer<typeof configSchema>;
export type ConfigInput = z.input<typeof configSchema>;
