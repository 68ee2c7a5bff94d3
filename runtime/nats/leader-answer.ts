/**
 * What a stream's leader answers when it is asked for one message, or how many it holds, and a consumer's how far it is.
 * nats.js makes two errors with their stacks of every "there is none", which an actor that is activated hears most of the
 * time: a fifth of a host's CPU.
 */
import { JetclawError } from "#contracts/errors.ts";

/** One of them names the message. */
export interface WhichMessage {
  readonly seq?: number;
  readonly last_by_subj?: string;
  readonly next_by_subj?: string;
}

export interface LeaderMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly seq: number;
  /** Ms since the epoch. */
  readonly at: number;
  /** As it travels; empty where there are no headers. */
  readonly head: string;
}

interface Answer {
  readonly error?: { readonly code: number; readonly err_code?: number; readonly description: string };
  readonly message?: {
    readonly subject: string;
    readonly seq: number;
    readonly data?: string;
    readonly hdrs?: string;
    readonly time: string;
  };
}

/** How far a consumer is. */
export interface ConsumerState {
  readonly delivered: { readonly consumer_seq: number; readonly stream_seq: number };
  readonly ack_floor: { readonly consumer_seq: number; readonly stream_seq: number };
  /** Not yet delivered to anybody, and delivered but not yet acknowledged. */
  readonly num_pending: number;
  readonly num_ack_pending: number;
  /** When it was made, as the server writes times. */
  readonly created: string;
}

const NO_CONSUMER = 10014;
const NO_MESSAGE = 10037;
const NO_STREAM = 10059;

/** `no-message` and `no-stream` where there is none. @throws JetclawError `nats.unavailable` with what the server said */
export function readLeaderAnswer(text: string): LeaderMessage | "no-message" | "no-stream" {
  const { error, message } = JSON.parse(text) as Answer;
  if (error?.err_code === NO_MESSAGE) return "no-message";
  if (error?.err_code === NO_STREAM) return "no-stream";
  if (error || !message)
    throw new JetclawError("nats.unavailable", error?.description ?? "not an answer of a stream");
  const { subject, seq, data = "", hdrs = "", time } = message;
  return {
    subject,
    seq,
    data: Buffer.from(data, "base64"),
    at: Date.parse(time),
    head: hdrs === "" ? "" : Buffer.from(hdrs, "base64").toString("utf8"),
  };
}

/**
 * The count of messages in a stream's description. The rest of it is not read: idle workers ask every few seconds.
 * @throws JetclawError `nats.unavailable` with what the server said
 */
export function readCount(text: string): number {
  const count = /"state":\{"messages":(\d+)/.exec(text)?.[1];
  if (count !== undefined) return Number(count);
  const { error } = JSON.parse(text) as Answer;
  throw new JetclawError("nats.unavailable", error?.description ?? "not a description of a stream");
}

/** Undefined where there is no such consumer. @throws JetclawError `nats.unavailable` with what the server said */
export function readConsumer(text: string): ConsumerState | undefined {
  const { error, ...state } = JSON.parse(text) as Answer & ConsumerState;
  if (!error) return state;
  if (error.err_code === NO_CONSUMER || error.err_code === NO_STREAM) return undefined;
  throw new JetclawError("nats.unavailable", error.description);
}

/** A header's value; empty where it is not set. */
export function headOf(head: string, name: string): string {
  const line = head.split("\r\n").find((each) => each.toLowerCase().startsWith(`${name.toLowerCase()}:`));
  return line?.slice(name.length + 1).trim() ?? "";
}
