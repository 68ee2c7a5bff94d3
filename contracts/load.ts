/** How loaded a deployment is, and how well its models do: written by the governor and the workers, read by routers. */
import { z } from "zod";
import { CLASSES } from "./subjects.ts";

/** KV `config`, key `level`: the level in force, why, and since when. */
export const LEVEL_KEY = "level";
/** KV `config`, key `level-override`: set by an operator, wins over the governor until removed. */
export const LEVEL_OVERRIDE_KEY = "level-override";
/** KV `config`, key `level-history`: the last changes of the level, the newest last. */
export const LEVEL_HISTORY_KEY = "level-history";

export const levelRecordSchema = z.object({
  level: z.union([z.literal(0), z.literal(1), z.literal(2), z.literal(3)]),
  reason: z.string(),
  /** Ms since the epoch. */
  at: z.number(),
  /** True while an operator holds it. */
  manual: z.boolean(),
  /** Instance of the governor that wrote it. */
  by: z.string(),
});
export type LevelRecord = z.infer<typeof levelRecordSchema>;

/** What an operator asked for. It wins over the governor from the moment it is stored. */
export const levelOverrideSchema = z.object({
  /** null: the governor decides again. */
  level: levelRecordSchema.shape.level.nullable(),
  reason: z.string(),
  at: z.number(),
  by: z.string(),
});
export type LevelOverride = z.infer<typeof levelOverrideSchema>;

/** What a job of this class that came now would wait for, by pool and class. */
export const drainSchema = z.object({
  pool: z.string(),
  cls: z.enum(CLASSES),
  waiting: z.number(),
  inFlight: z.number(),
  /** Age of the oldest waiting job, ms. */
  oldestMs: z.number(),
  /** Time to work off what waits in this class and in those before it, with what they leave of the capacity. */
  drainMs: z.number(),
});
export type Drain = z.infer<typeof drainSchema>;

/** Core NATS, every round of the active governor: what it measured. */
export interface LoadReport {
  /** Instance of the governor. */
  readonly by: string;
  readonly at: number;
  readonly drains: readonly Drain[];
}

export const BREAKER_STATES = ["closed", "half-open", "open"] as const;

/** KV `models`, key `<pool>.<model>.<worker>` as tokens, with a lifetime: what one worker sees of one model. */
export const modelHealthSchema = z.object({
  pool: z.string(),
  model: z.string(),
  worker: z.string(),
  at: z.number(),
  /** How long this word holds, ms; then the worker is gone. */
  lifetimeMs: z.number(),
  breaker: z.enum(BREAKER_STATES),
  inFlight: z.number(),
  /** Requests the worker would run at once now, after its adaptive limit. */
  limit: z.number(),
  /** Medians over the last requests, ms; 0 before the first. */
  firstTokenMs: z.number(),
  totalMs: z.number(),
  /** Output tokens a second, over all running requests. */
  tokensPerSecond: z.number(),
  /** Finished requests a second. */
  requestsPerSecond: z.number(),
  /** Share of the last requests that failed for the model's fault. */
  errorShare: z.number(),
});
export type ModelHealth = z.infer<typeof modelHealthSchema>;
