/** One inference request of a turn, self-contained, and what comes back of it. */
import { z } from "zod";
import { chatRequestSchema, toolCallSchema } from "./chat.ts";
import { citationSchema } from "./content.ts";
import { CLASSES } from "./subjects.ts";
import { usageSchema } from "./usage.ts";

export const JOB_VERSION = 1;

/** A piece of a document that retrieval found. */
export const passageSchema = z.object({
  collection: z.string(),
  document: z.string(),
  revision: z.number().int(),
  /** When the store took that revision, ms since the epoch. */
  storedAt: z.number(),
  title: z.string(),
  url: z.string().optional(),
  locale: z.string().optional(),
  /** Other words for what its document is about. */
  tags: z.array(z.string()).optional(),
  text: z.string(),
  /** Higher is better; comparable only inside one result. */
  score: z.number(),
  /** Its meaning answers the question, whether or not it shares words with it. */
  near: z.boolean().optional(),
});
export type Passage = z.infer<typeof passageSchema>;

export const chatMessageSchema = z.object({
  role: z.enum(["system", "user", "assistant", "tool"]),
  content: z.string(),
});
export type ChatMessage = z.infer<typeof chatMessageSchema>;

export const jobSchema = z.object({
  v: z.literal(JOB_VERSION),
  /** Idempotency key: stable over redeliveries and republished outboxes. */
  id: z.string(),
  tenant: z.string(),
  session: z.string(),
  turn: z.number().int(),
  /** Inference steps of a turn are numbered from 0. */
  step: z.number().int(),
  pool: z.string(),
  /** A model of the pool that should serve it; undefined: the worker chooses. */
  model: z.string().nullish(),
  cls: z.enum(CLASSES),
  lane: z.union([z.literal(0), z.literal(1)]),
  /** When the job was committed, ms since the epoch. */
  at: z.number(),
  /** Absolute, ms since the epoch; checked before each costly step. */
  deadline: z.number(),
  /** System instructions, history and the question, ready for a chat model. */
  messages: z.array(chatMessageSchema),
  /** The user's question alone, for models that extract rather than generate. */
  question: z.string(),
  locale: z.string(),
  passages: z.array(passageSchema),
  maxOutputTokens: z.number().int().nullish(),
  temperature: z.number().nullish(),
  /** False: nobody reads a stream, do not publish chunks. */
  stream: z.boolean(),
  trace: z.object({ traceparent: z.string(), tracestate: z.string().nullish() }).nullish(),
  /** A core subject: stream and result go there, and no actor hears of the job. Only below `reply.`. */
  replyTo: z
    .string()
    .regex(/^reply\.[A-Za-z0-9_=-]{1,64}\.[A-Za-z0-9_-]{1,64}$/)
    .nullish(),
  /** A batch did not answer it, or could not in the time that is left: it is asked one by one. */
  online: z.boolean().optional(),
  /** Of the OpenAI-compatible endpoint: what goes to the provider besides the messages. */
  chat: chatRequestSchema.nullish(),
});
export type Job = z.infer<typeof jobSchema>;

/** A delivery has room for this many attempts: the first, and one more for each restart in mid-answer. */
const ATTEMPTS_PER_DELIVERY = 10;

/** Number of an attempt. It grows over restarts and redeliveries, whatever a worker that died had reached. */
export const attemptOf = (delivery: number, restarts: number): number =>
  (delivery - 1) * ATTEMPTS_PER_DELIVERY + 1 + Math.min(restarts, ATTEMPTS_PER_DELIVERY - 1);

/** How many attempts are known of, from the number of the last one: what a dead worker restarted is not. */
export const attemptsUpTo = (attempt: number): number =>
  attempt <= 0
    ? 0
    : Math.floor((attempt - 1) / ATTEMPTS_PER_DELIVERY) + 1 + ((attempt - 1) % ATTEMPTS_PER_DELIVERY);

export const FINISH = ["stop", "length", "stopped", "failed"] as const;

export const jobResultSchema = z.object({
  job: z.string(),
  turn: z.number().int(),
  step: z.number().int(),
  /** The attempt whose text this is, see `attemptOf`. */
  attempt: z.number().int(),
  finish: z.enum(FINISH),
  /** Full text; for `stopped` and `failed` what had come so far. */
  text: z.string(),
  citations: z.array(citationSchema),
  toolCalls: z.array(toolCallSchema).optional(),
  /** The model's own, in place of a text. */
  refusal: z.string().optional(),
  model: z.string(),
  /** How many numbered chunks were published for this attempt. */
  chunks: z.number().int(),
  /** Of every attempt of this delivery: what was cut off was paid for too. */
  usage: usageSchema,
  /** US dollars of that usage, where the models have a price. */
  costUsd: z.number().optional(),
  error: z
    .object({
      code: z.string(),
      detail: z.string().optional(),
      /** What the provider asked to wait. */
      retryAfterSeconds: z.number().optional(),
      /** HTTP status of the provider, where it gave one. */
      upstreamStatus: z.number().int().optional(),
    })
    .optional(),
  timings: z.object({ queuedMs: z.number(), firstTokenMs: z.number(), totalMs: z.number() }),
  worker: z.string(),
});
export type JobResult = z.infer<typeof jobResultSchema>;

/** True when more is asked than texts and a temperature: only the provider's chat completions can serve it. */
export const needsChatApi = ({ chat }: Pick<Job, "chat">): boolean =>
  !!chat && (!!chat.messages || Object.keys(chat.options).some((name) => name !== "temperature"));

/** A caller of the endpoint who reads no stream gets none made: a whole answer costs a fifth of its chunks. */
export const isStreamed = ({ stream, chat }: Pick<Job, "stream" | "chat">): boolean => stream || !chat;
