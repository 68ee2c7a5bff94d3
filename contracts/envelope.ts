/**
 * The envelope around everything an actor receives. Subjects carry tokens; the original ids are kept here.
 */
import { decodeUntrusted, encode } from "./codec.ts";
import { JetclawError } from "./errors.ts";
import { isId } from "./ids.ts";

export const ENVELOPE_VERSION = 1;

/** W3C trace context as it travels: `traceparent` and, where present, `tracestate`. */
export interface TraceContext {
  readonly traceparent: string;
  readonly tracestate?: string | undefined;
}

export interface Envelope<Body = unknown> {
  /** Version of this shape. */
  readonly v: number;
  /** Idempotency key of the message, unique for its actor. */
  readonly id: string;
  readonly tenant: string;
  /** Kind of the actor. */
  readonly kind: string;
  /** Key of the actor: for conversations the session. */
  readonly key: string;
  /** Which message of the kind this is. */
  readonly type: string;
  readonly body: Body;
  /** When it was published, ms since the epoch, by the publisher's clock. */
  readonly at: number;
  /** Id of the message that caused this one. */
  readonly causation?: string | undefined;
  /** Absolute time, ms since the epoch, after which nobody waits for the effect. */
  readonly deadline?: number | undefined;
  /** Version of the body's schema. */
  readonly schema?: number | undefined;
  readonly trace?: TraceContext | undefined;
  /** Core NATS subject on which a caller waits for the actor's reply. */
  readonly replyTo?: string | undefined;
  /** Present on a timer that fired: its name and the generation it was scheduled under. */
  readonly timer?: { readonly name: string; readonly generation: number } | undefined;
  /** Set when an operator returned it from the dead letters: how often that was done. */
  readonly redriven?: number | undefined;
}

export function encodeEnvelope(envelope: Envelope): Uint8Array {
  return encode(envelope);
}

/**
 * Reads an envelope that anyone may have written. Checked by hand: it is done for every message, and a schema library
 * took as long for it as the decoding itself.
 * @throws JetclawError `codec.invalid` for anything that is not an envelope of a known version, `nats.too-large`
 */
export function decodeEnvelope(bytes: Uint8Array): Envelope {
  const raw = decodeUntrusted<Record<string, unknown> | null>(bytes);
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) throw wrong("it", "a map");
  if (raw.v !== ENVELOPE_VERSION) throw wrong("v", `the version ${ENVELOPE_VERSION}`);
  for (const name of IDS) if (!isId(raw[name])) throw wrong(name, "an id");
  if (typeof raw.at !== "number") throw wrong("at", "a number");
  const envelope = {
    v: ENVELOPE_VERSION,
    id: raw.id as string,
    tenant: raw.tenant as string,
    kind: raw.kind as string,
    key: raw.key as string,
    type: raw.type as string,
    body: raw.body,
    at: raw.at,
    causation: text(raw, "causation", MAX_CAUSATION),
    deadline: number(raw, "deadline"),
    schema: number(raw, "schema"),
    trace: traceOf(raw.trace),
    replyTo: text(raw, "replyTo", MAX_SUBJECT),
    timer: timerOf(raw.timer),
    redriven: number(raw, "redriven"),
  };
  if (envelope.replyTo !== undefined && !PLAIN_SUBJECT.test(envelope.replyTo))
    throw wrong("replyTo", "a subject");
  return envelope;
}

const IDS = ["id", "tenant", "kind", "key", "type"] as const;
const MAX_CAUSATION = 1_024;
const MAX_SUBJECT = 256;
const PLAIN_SUBJECT = /^[^\s*>]+$/;

type Raw = Record<string, unknown>;
const wrong = (name: string, what: string): JetclawError =>
  new JetclawError("codec.invalid", `${name} is not ${what}`);

function text(raw: Raw, name: string, most: number): string | undefined {
  const value = raw[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string" || value.length > most)
    throw wrong(name, `a text of at most ${most} characters`);
  return value;
}

function number(raw: Raw, name: string): number | undefined {
  const value = raw[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "number") throw wrong(name, "a number");
  return value;
}

function mapOf(value: unknown, name: string): Raw | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "object" || Array.isArray(value)) throw wrong(name, "a map");
  return value as Raw;
}

function traceOf(value: unknown): TraceContext | undefined {
  const raw = mapOf(value, "trace");
  if (!raw) return undefined;
  const traceparent = text(raw, "traceparent", 64);
  if (traceparent === undefined) throw wrong("trace", "a trace context");
  const tracestate = text(raw, "tracestate", 512);
  return tracestate === undefined ? { traceparent } : { traceparent, tracestate };
}

function timerOf(value: unknown): Envelope["timer"] {
  const raw = mapOf(value, "timer");
  if (!raw) return undefined;
  const name = text(raw, "name", 256);
  const generation = number(raw, "generation");
  if (name === undefined || generation === undefined) throw wrong("timer", "a timer");
  return { name, generation };
}
