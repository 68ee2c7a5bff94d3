/** The shape of `jetclaw.config.ts`. Everything has a default; functions (actors, channels, tools) pass through untouched. */
import { z } from "zod";
import { isId } from "./ids.ts";
import { LIMITS } from "./limits.ts";
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

function isRegExp(pattern: string): boolean {
  try {
    return new RegExp(pattern, "giu").flags !== "";
  } catch {
    return false;
  }
}

/** As browsers say it: without a path, a default port or a slash at its end. */
const isOrigin = (text: string): boolean => URL.canParse(text) && new URL(text).origin === text;

/** A value that questions name: only those that name the same ones share an answer, such as sizes or kinds of account. */
const slotSchema = z.strictObject({
  name: z.string().min(1).max(64),
  /** A regular expression, without regard to case. */
  pattern: z.string().min(1).max(512).refine(isRegExp, "a regular expression").optional(),
  /** Or the words themselves. */
  words: z.array(z.string().min(1).max(128)).max(1_000).optional(),
});

const assistantCacheSchema = z.strictObject({
  /** False: no answer of this assistant is kept or served. */
  enabled: z.boolean().default(true),
  /** False: identical questions only. */
  semantic: z.boolean().default(true),
  slots: z.array(slotSchema).max(64).default([]),
});

const cacheSchema = z.strictObject({
  /** False: identical questions only, for every assistant. */
  semantic: z.boolean().default(true),
  /** Wrong answers that are accepted, as a share of what the semantic level serves. */
  errorBound: z.number().positive().max(0.2).optional(),
  /** Share of what it serves that is asked of the model as well, to learn from. */
  checkShare: z.number().min(0).max(1).optional(),
  /** Memory of each host for entries. */
  memoryMb: z.number().int().positive().max(65_536).optional(),
});

export const assistantSchema = z.strictObject({
  /** One text, or one a language. */
  instructions: z.union([z.string(), z.record(z.string(), z.string())]).default(""),
  /** Collections it answers from. */
  knowledge: z.array(id).default([]),
  tools: z.array(z.unknown()).default([]),
  /** A pool, a model of any pool, or "auto". */
  model: z.string().default("auto"),
  handover: z.object({ after: z.number().int().positive(), to: z.string() }).optional(),
  cache: assistantCacheSchema.optional(),
  /** Most tokens of an answer. */
  maxOutputTokens: z.number().int().positive().optional(),
  temperature: z.number().min(0).max(2).optional(),
});
export type AssistantConfig = z.infer<typeof assistantSchema>;

/** One address of a model; several are rotated when a provider limits one. */
const endpointSchema = z.strictObject({
  baseUrl: z.url({ protocol: /^https?$/ }).optional(),
  apiKey: secret.optional(),
});

export const BATCH_MODES = ["concurrent", "chat-batch", "prompt-array", "offline"] as const;
/**
 * How requests of several jobs reach the provider. `concurrent`: one request a job, the server batches. `chat-batch`:
 * `/chat/completions/batch`, no streaming. `prompt-array`: `/completions` with an array of prompts, streamed by index.
 */
const callBatchSchema = z.strictObject({
  mode: z.enum(BATCH_MODES).exclude(["offline"]),
  /** Most requests of one batch. */
  maxRequests: z.number().int().positive().max(1_024).optional(),
  /** Most input tokens of one batch. */
  maxTokens: z.number().int().positive().optional(),
  /** Longest wait of a request for others, under load; an idle worker never waits. */
  maxWaitMs: z.number().int().nonnegative().max(5_000).optional(),
});

/**
 * `offline`: jobs of the class `deferred` by the provider's `/files` and `/batches`, at half the price and within a day;
 * all others one request a job.
 */
const offlineBatchSchema = z.strictObject({
  mode: z.literal("offline"),
  /** Most requests of one batch. */
  maxRequests: z.number().int().positive().max(10_000).optional(),
  /** Most input tokens of one batch: providers bound what may wait. */
  maxTokens: z.number().int().positive().optional(),
  /** Longest wait of a request for others; a full batch leaves at once. */
  maxWaitMs: z.number().int().nonnegative().max(86_400_000).optional(),
  /** A job that must be answered sooner than this is asked like any other. */
  leastMs: z.number().int().positive().optional(),
});
const batchSchema = z.discriminatedUnion("mode", [callBatchSchema, offlineBatchSchema]);
/** What `leastMs` is when it is left out. */
export const OFFLINE_LEAST_MS = 3_600_000;

/** Patience with a provider, all inside the job's deadline. */
const timeoutsSchema = z.strictObject({
  connectMs: z.number().int().positive().optional(),
  firstTokenMs: z.number().int().positive().optional(),
  betweenTokensMs: z.number().int().positive().optional(),
  totalMs: z.number().int().positive().optional(),
});

export const modelSchema = z.strictObject({
  name: z.string().min(1).max(256),
  /** A well-known provider: fills in base URL, the variable of the key and the price where they are left out. */
  preset: z.string().max(64).optional(),
  endpoints: z.array(endpointSchema).min(1).max(16).optional(),
  batch: batchSchema.optional(),
  timeouts: timeoutsSchema.optional(),
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
  /** The smaller pool that new conversations get from load level 1 on. */
  degradeTo: name.optional(),
});
export type PoolConfig = z.infer<typeof poolSchema>;

/** A rule holds when all that it names holds; the first one that holds decides. */
export const routingRuleSchema = z.strictObject({
  /** Shown in the reasons of a decision. */
  name: z.string().max(128).optional(),
  when: z.strictObject({
    /** Any of these words or phrases, whole words, any case. */
    keywords: z.array(z.string().min(1).max(128)).max(64).optional(),
    minChars: z.number().int().nonnegative().optional(),
    maxChars: z.number().int().nonnegative().optional(),
    languages: z.array(z.string().max(35)).optional(),
    channels: z.array(z.string().max(64)).optional(),
    tenants: z.array(id).optional(),
    assistants: z.array(name).optional(),
    classes: z.array(z.enum(["ongoing", "new", "deferred"])).optional(),
  }),
  /** The pool that serves what matches. */
  pool: name,
});
export type RoutingRule = z.infer<typeof routingRuleSchema>;

/** What is asked for a pool, one after the other; actors/routing/README.md says what each of them does. */
export const ROUTING_STRATEGIES = ["keep", "assistant", "rules", "level", "health", "first"] as const;
export type RoutingStrategy = (typeof ROUTING_STRATEGIES)[number];

const routingSchema = z.strictObject({
  rules: z.array(routingRuleSchema).max(256).optional(),
  /** Strategies in the order in which they speak; all of them, in the order above, when left out. */
  order: z.array(z.enum(ROUTING_STRATEGIES)).min(1).max(16).optional(),
});

/** When the governor degrades new conversations. Times are predicted drain times of the class `new`. */
const governorSchema = z.strictObject({
  /** Drain time from which level 1, 2, 3 begin. */
  raiseMs: z.tuple([z.number().positive(), z.number().positive(), z.number().positive()]).optional(),
  /** A level is left when the drain time was below this share of its threshold for `holdMs`. */
  lowerShare: z.number().gt(0).lt(1).optional(),
  holdMs: z.number().int().positive().optional(),
});

/** Any server that speaks OpenAI's `/v1/embeddings`; without one, knowledge is found by its words alone. */
export const embeddingsSchema = z.strictObject({
  /** `.../v1` */
  baseUrl: z.url({ protocol: /^https?$/ }),
  model: z.string().min(1).max(256),
  apiKey: secret.optional(),
  /** Asked of models that can shorten their vectors; left out: the model's own. */
  dimensions: z.number().int().min(2).max(4_096).optional(),
  /** Texts of one request. */
  batchTexts: z.number().int().positive().max(2_048).optional(),
  /** Patience with a request for documents; a question waits 200 ms. */
  timeoutMs: z.number().int().positive().max(600_000).optional(),
  /** Cosine from which a passage may answer a question, one a language; left out: measured on the passages. */
  thresholds: z
    .record(z.string().regex(/^[a-z]{2,3}$/, "a language such as en"), z.number().min(-1).max(1))
    .optional(),
});
export type EmbeddingsConfig = z.infer<typeof embeddingsSchema>;

/** Vectors in Qdrant instead of in the memory of every retrieving process. */
export const qdrantSchema = z.strictObject({
  url: z.url({ protocol: /^https?$/ }),
  apiKey: secret.optional(),
  /** Collections and aliases begin with it; deployments that share a Qdrant need different ones. */
  prefix: z
    .string()
    .regex(/^[a-z0-9-]{1,32}$/, "1 to 32 of a-z, 0-9 and -")
    .default("jetclaw"),
  timeoutMs: z.number().int().positive().max(600_000).optional(),
});
export type QdrantConfig = z.infer<typeof qdrantSchema>;

const retentionDays = z.number().int().positive().max(LIMITS.retentionDays);
/** How long closed turns are kept. Without it for ever. */
const retentionSchema = z.strictObject({
  /** Of tenants that are not named. */
  days: retentionDays.optional(),
  tenants: z.record(id, z.strictObject({ days: retentionDays })).optional(),
  /** A folder, `file:///folder` or `s3://bucket/prefix`: days that are over go there, and nothing is purged before. */
  archive: z.string().min(1).max(1_024).optional(),
});
export type RetentionConfig = z.infer<typeof retentionSchema>;

const gatewaySchema = z.strictObject({
  /** Pages of these origins may call, from browsers: `https://shop.example`. Left out: only the gateway's own. */
  corsOrigins: z.array(z.string().refine(isOrigin, "an origin, such as https://shop.example")).optional(),
});

export const configSchema = z
  .strictObject({
    assistants: z.record(name, assistantSchema).default({}),
    pools: z.record(name, poolSchema).default({}),
    budgets: z.record(id, z.object({ usdPerDay: z.number().positive() })).default({}),
    channels: z.array(z.unknown()).default([]),
    actors: z.array(z.unknown()).default([]),
    /** How long a turn may take. */
    turnDeadlineMs: z.number().int().min(13_000).max(500_000).optional(),
    /** How long a turn may take on a channel where nobody waits, such as email; `turnDeadlineMs` when left out. */
    deferredDeadlineMs: z
      .number()
      .int()
      .min(13_000)
      .max(7 * 24 * 3_600_000)
      .optional(),
    /** Numbered copies of the streams; fixed when a deployment is provisioned. */
    shards: z.union([z.literal(1), z.literal(2), z.literal(4), z.literal(8), z.literal(16)]).optional(),
    /** Stream replicas: 1 on one node, 3 in a cluster. */
    replicas: z.union([z.literal(1), z.literal(3), z.literal(5)]).optional(),
    /** Activations a host keeps in memory. */
    residency: z.number().int().positive().optional(),
    /** Older turns of long conversations are summarised by a deferred job of their own tier, where that is a language model. */
    summaries: z.boolean().default(true),
    retention: retentionSchema.optional(),
    /** How long nobody writes before a conversation's record shrinks; its turns stay. */
    idleMinutes: z
      .number()
      .positive()
      .max(60 * 24 * 90)
      .optional(),
    /** False: nothing is cached. */
    responseCache: z.boolean().default(true),
    cache: cacheSchema.optional(),
    embeddings: embeddingsSchema.optional(),
    qdrant: qdrantSchema.optional(),
    /** `remote`: hosts of conversations hold no index and ask the role `retrieval`. */
    retrieval: z.enum(["local", "remote"]).default("local"),
    routing: routingSchema.optional(),
    governor: governorSchema.optional(),
    gateway: gatewaySchema.optional(),
    /** Unfinished jobs of a tenant that keep lane 0, over all hosts. */
    tenantShare: z.number().int().positive().optional(),
  })
  .superRefine((config, context) => {
    const known = (path: (string | number)[], pool: string): void => {
      if (!Object.hasOwn(config.pools, pool))
        context.addIssue({ code: "custom", path, message: `there is no pool "${pool}"` });
    };
    for (const [pool, { fallback, degradeTo }] of Object.entries(config.pools)) {
      for (const other of fallback) known(["pools", pool, "fallback"], other);
      if (degradeTo !== undefined) known(["pools", pool, "degradeTo"], degradeTo);
    }
    const deferredMs = config.deferredDeadlineMs ?? config.turnDeadlineMs ?? LIMITS.turnDeadlineMs;
    for (const [pool, { models }] of Object.entries(config.pools))
      for (const [n, { batch, provider }] of models.entries()) {
        if (batch?.mode !== "offline") continue;
        const path = ["pools", pool, "models", n, "batch"];
        const { leastMs = OFFLINE_LEAST_MS } = batch;
        if (provider !== "openai")
          context.addIssue({
            code: "custom",
            path,
            message: `${provider} has no batch API; leave batch out`,
          });
        else if (deferredMs < leastMs)
          context.addIssue({
            code: "custom",
            path,
            message: `no job would ever be sent offline: deferred turns end after ${deferredMs} ms, leastMs is ${leastMs}; set deferredDeadlineMs, for example to 86400000 (a day)`,
          });
      }
    for (const [n, rule] of (config.routing?.rules ?? []).entries())
      known(["routing", "rules", n, "pool"], rule.pool);
  });
export type Config = z.infer<typeof configSchema>;
export type ConfigInput = z.input<typeof configSchema>;
