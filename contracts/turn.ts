/** Messages a conversation receives, the record of a closed turn, and the events of a session's stream. */
import { z } from "zod";
import { citationSchema, partsSchema } from "./content.ts";
import type { Envelope } from "./envelope.ts";
import { isId, tokenOf } from "./ids.ts";
import { type Job, type JobResult, jobResultSchema } from "./job.ts";
import { LIMITS } from "./limits.ts";
import { NO_USAGE, usageSchema } from "./usage.ts";

export const CONVERSATION = "conversation";
export const RECORD_VERSION = 1;

const metadata = z
  .record(z.string().max(128), z.string().max(4_096))
  .refine((m) => Object.keys(m).length <= 64, "at most 64 entries");

/** A user's message as a channel publishes it. Its id is the envelope's. */
export const userMessageSchema = z.object({
  parts: partsSchema,
  channel: z.string().max(64).default("web"),
  locale: z.string().max(35).optional(),
  /** Names an assistant of the tenant; read in the first message of a conversation. */
  assistant: z.string().max(256).optional(),
  metadata: metadata.optional(),
});
export type UserMessage = z.infer<typeof userMessageSchema>;

export const routeDecisionSchema = z.object({
  pool: z.string(),
  tier: z.string(),
  model: z.string().optional(),
  reasons: z.array(z.string()),
});
export type RouteDecision = z.infer<typeof routeDecisionSchema>;

export const OUTCOMES = ["answered", "failed", "stopped", "said"] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** The one record of a closed turn or a proactive message, in TURNS. */
export const turnRecordSchema = z.object({
  v: z.literal(RECORD_VERSION),
  type: z.literal("turn"),
  /** Delivery id: a channel sends a record under it, at least once. */
  id: z.string(),
  tenant: z.string(),
  session: z.string(),
  turn: z.number().int(),
  channel: z.string(),
  assistant: z.string(),
  messages: z.array(z.object({ id: z.string(), text: z.string(), at: z.number() })),
  outcome: z.enum(OUTCOMES),
  reply: z.string(),
  citations: z.array(citationSchema),
  model: z.string(),
  cached: z.boolean(),
  cacheLevel: z.string().optional(),
  /** Why no cache was asked: the kind of turn. */
  uncached: z.string().optional(),
  usage: usageSchema,
  costUsd: z.number().optional(),
  route: routeDecisionSchema.optional(),
  attempts: z.number().int(),
  /** Reference of an apology, for support. */
  reference: z.string().optional(),
  error: z.string().optional(),
  /** When the first message of the burst was published and when the turn closed. */
  startedAt: z.number(),
  at: z.number(),
});
export type TurnRecord = z.infer<typeof turnRecordSchema>;

/** Proof of an erase, in RECEIPTS: written when everything else of the session was purged. */
export interface EraseReceipt {
  readonly v: 1;
  readonly id: string;
  readonly tenant: string;
  readonly session: string;
  /** Turns that the conversation had counted. */
  readonly turns: number;
  readonly at: number;
}

/**
 * Ids of messages that were answered, in TURNS: 6 bytes of each one's SHA-256, big-endian, one after the other. A record
 * repeats what records before it hold, so that few have to be read.
 */
export interface IdsRecord {
  readonly v: 1;
  readonly type: "ids";
  readonly ids: Uint8Array;
  /** Of whose ids it begins with: the sequence of each record, and how many were written there first. */
  readonly parts: readonly (readonly [seq: number, ids: number])[];
  /** Sequences of the records with all that is older. */
  readonly before: readonly number[];
}

/** Thumbs for an earlier turn, in TURNS beside the records. */
export const feedbackRecordSchema = z.object({
  v: z.literal(1),
  type: z.literal("feedback"),
  tenant: z.string(),
  session: z.string(),
  turn: z.number().int(),
  value: z.enum(["up", "down"]),
  comment: z.string().optional(),
  at: z.number(),
});
export type FeedbackRecord = z.infer<typeof feedbackRecordSchema>;

/** What the actor of kind `conversation` receives. */
export const conversationMessages = {
  user: userMessageSchema,
  /** A job's result, from a worker or the reaper. */
  result: jobResultSchema,
  /** The bot speaks first: a record without a question. */
  say: z.object({
    text: z.string().min(1).max(LIMITS.messageTextChars),
    channel: z.string().max(64).optional(),
  }),
  stop: z.object({ turn: z.number().int().optional() }),
  /** The quiet time of a burst is over. */
  collected: z.object({ turn: z.number().int() }),
  /** The grace of a stop is over: no result came, the turn is closed without one. */
  settle: z.object({ turn: z.number().int() }),
  /** Whoever asked the same has his answer, or the wait for it is over: the turn is answered. */
  landed: z.object({ turn: z.number().int() }),
  feedback: z.object({
    turn: z.number().int(),
    value: z.enum(["up", "down"]),
    comment: z.string().max(4_000).optional(),
  }),
  erase: z.object({}),
  /** Closed turns from an archive. */
  restore: z.object({
    records: z.array(z.union([turnRecordSchema, feedbackRecordSchema])).max(LIMITS.restoredRecords),
  }),
  /** Nobody has written for a while, as far as was known when this was scheduled. */
  idle: z.object({}),
} as const;

/**
 * What tells a conversation the result of its job, at a time in ms since the epoch. Its id is the same for all attempts and
 * for whoever gives the job up, so that the conversation drops all results of a job but the first.
 */
export function resultMessage(job: Job, result: JobResult, at: number): Omit<Envelope<JobResult>, "v"> {
  const plain = `${job.id}.r`;
  const id = isId(plain) ? plain : `${tokenOf(job.id)}.r`;
  const { tenant, session: key, id: causation } = job;
  return { id, tenant, kind: CONVERSATION, key, type: "result", body: result, at, causation };
}

/**
 * One event of a session's stream, captured by TOKENS. Its id for clients is `turn.attempt.number`.
 * The highest attempt wins; `done` carries the full text.
 */
export interface StreamEvent {
  readonly type: "turn" | "delta" | "restart" | "done" | "error";
  readonly turn: number;
  /** 0 before any worker took the job; then the delivery count of the job. */
  readonly attempt: number;
  /** Counts the events of this attempt: `turn` and `restart` are 0, deltas count from 1, `done` is the last. */
  readonly number: number;
  /** `delta`: what to append. `done`: the full text. `restart`: empty; what follows replaces what came. */
  readonly text?: string | undefined;
  /** `turn`: ids of the messages it answers. */
  readonly messages?: readonly string[] | undefined;
  /** `done` only: what `POST .../messages` answers with. */
  readonly answer?: Answer | undefined;
}

/** The answer to a message, as HTTP and the client library give it. */
export const answerSchema = z.object({
  session: z.string(),
  turn: z.number().int(),
  reply: z.string(),
  citations: z.array(citationSchema),
  model: z.string(),
  cached: z.boolean(),
  cacheLevel: z.string().optional(),
  usage: usageSchema,
  outcome: z.enum(OUTCOMES),
  reference: z.string().optional(),
});
export type Answer = z.infer<typeof answerSchema>;

export function answerOf(record: Omit<TurnRecord, "id">): Answer {
  const { session, turn, reply, citations, model, cached, cacheLevel, usage, outcome, reference } = record;
  return {
    session,
    turn,
    reply,
    citations,
    model,
    cached,
    ...(cacheLevel ? { cacheLevel } : {}),
    usage,
    outcome,
    ...(reference ? { reference } : {}),
  };
}

/** The first event of a turn: which messages it answers. */
export const turnEvent = (turn: number, messages: readonly string[]): StreamEvent => ({
  type: "turn",
  turn,
  attempt: 0,
  number: 0,
  messages,
});

export const eventId = (event: Pick<StreamEvent, "turn" | "attempt" | "number">): string =>
  `${event.turn}.${event.attempt}.${event.number}`;

/** Parses `Last-Event-ID`; undefined for anything that is not `turn.attempt.number`. */
export function parseEventId(id: string): { turn: number; attempt: number; number: number } | undefined {
  const match = /^(\d{1,15})\.(\d{1,9})\.(\d{1,9})$/.exec(id);
  if (!match) return undefined;
  return { turn: Number(match[1]), attempt: Number(match[2]), number: Number(match[3]) };
}

export const TRANSCRIPT_STATUS = ["idle", "collecting", "answering", "calling", "handed-over"] as const;
export interface TranscriptTurn {
  readonly turn: number;
  readonly messages: readonly { readonly id: string; readonly text: string; readonly at: number }[];
  /** null while the turn is running. */
  readonly reply: string | null;
  readonly citations: readonly z.infer<typeof citationSchema>[];
  readonly model: string | null;
  readonly cached: boolean;
  readonly outcome?: Outcome | undefined;
  readonly feedback?: "up" | "down" | undefined;
  readonly at: number;
}

/** What a transcript tells of an answer: not what it used, nor which cache it came from. */
export const answerOfTurn = (session: string, turn: TranscriptTurn): Answer => ({
  session,
  turn: turn.turn,
  reply: turn.reply ?? "",
  citations: [...turn.citations],
  model: turn.model ?? "",
  cached: turn.cached,
  usage: NO_USAGE,
  outcome: turn.outcome ?? "answered",
});

export interface Transcript {
  readonly session: string;
  readonly status: (typeof TRANSCRIPT_STATUS)[number];
  readonly turns: readonly TranscriptTurn[];
}
