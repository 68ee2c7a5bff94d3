/** Appends as they travel: what is asked of a stream in headers, and the acknowledgement that it sends. */
import type { MsgHdrs } from "@nats-io/transport-node";
import { JetclawError } from "#contracts/errors.ts";

export interface AppendOptions {
  /** Dropped by the stream when it saw the id inside its dedupe window. */
  readonly id?: string | undefined;
  /** The append is refused unless the subject's last sequence is this one; 0 means none. */
  readonly expectedRevision?: number | undefined;
  /** The subject whose last sequence is expected, where that is another one of the stream. */
  readonly expectedOf?: string | undefined;
  readonly timeoutMs?: number | undefined;
  /** Message lifetime; the stream must allow it. At least 1,000. */
  readonly ttlMs?: number | undefined;
  /** Leaves at once, see `write-batching.ts`. */
  readonly hurried?: boolean | undefined;
  /** Publishes `target` at this time (ms since the epoch) with this body; the subject is the schedule's. */
  readonly schedule?: { readonly at: number; readonly target: string } | undefined;
}
export interface Appended {
  readonly stream: string;
  readonly seq: number;
  readonly duplicate: boolean;
}

/** The expected revision was not the last one: somebody else wrote. */
export class StaleRevision extends Error {
  constructor() {
    super("the expected revision is not the last one");
    this.name = "StaleRevision";
  }
}

/** Codes of the server for an expected revision that is not the last one. */
const STALE = new Set([10071, 10164]);

/** Undefined where there is nothing to say. @throws Error for a value with a line break, which could say anything */
export function headersOf(options: AppendOptions): MsgHdrs | undefined {
  const { id, expectedRevision, expectedOf, ttlMs, schedule } = options;
  let lines = "";
  if (id !== undefined) lines += line("Nats-Msg-Id", id);
  if (expectedRevision !== undefined)
    lines += line("Nats-Expected-Last-Subject-Sequence", String(expectedRevision));
  if (expectedOf !== undefined) lines += line("Nats-Expected-Last-Subject-Sequence-Subject", expectedOf);
  if (ttlMs !== undefined) lines += line("Nats-TTL", `${Math.max(1, Math.ceil(ttlMs / 1_000))}s`);
  if (schedule) {
    lines += line("Nats-Schedule", `@at ${new Date(schedule.at).toISOString()}`);
    lines += line("Nats-Schedule-Target", schedule.target);
  }
  if (lines === "") return undefined;
  // All that nats.js asks of headers that leave. Its own look every name up several times, a twentieth of a host's CPU.
  return { encode: () => encoder.encode(`NATS/1.0\r\n${lines}\r\n`) } as unknown as MsgHdrs;
}

const encoder = new TextEncoder();

function line(name: string, value: string): string {
  if (/[\r\n]/.test(value)) throw new Error(`${name} cannot hold a line break`);
  return `${name}: ${value}\r\n`;
}

interface PubAck {
  readonly stream?: string;
  readonly seq?: number;
  readonly duplicate?: boolean;
  readonly error?: { readonly code: number; readonly err_code: number; readonly description: string };
}

/** @throws StaleRevision, JetclawError `nats.unavailable` with what the server said */
export function readAck(text: string): Appended {
  const ack = JSON.parse(text) as PubAck;
  if (ack.error) {
    if (STALE.has(ack.error.err_code)) throw new StaleRevision();
    throw new JetclawError("nats.unavailable", ack.error.description);
  }
  if (!ack.stream) throw new JetclawError("nats.unavailable", "not an acknowledgement of a stream");
  return { stream: ack.stream, seq: ack.seq ?? 0, duplicate: ack.duplicate === true };
}
