/**
 * The envelope around everything an actor receives. Subjects carry tokens; the original ids are kept here.
 */
import { z } from "zod";
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
}

const id = z.custom<string>(isId);
const optional = <T extends z.ZodType>(schema: T) => schema.nullish().transform((v) => v ?? undefined);
const schema = z.object({
  v: z.literal(ENVELOPE_VERSION),
  id,
  tenant: id,
  kind: id,
  key: id,
  type: id,
  body: z.unknown(),
  at: z.number(),
  causation: optional(z.string().max(1_024)),
  deadline: optional(z.number()),
  schema: optional(z.number().int()),
  trace: optional(z.object({ traceparent: z.string().max(64), tracestate: optional(z.string().max(512)) })),
  replyTo: optional(
    z
      .string()
      .max(256)
      .regex(/^[^\s*>]+$/),
  ),
  timer: optional(z.object({ name: z.string().max(256), generation: z.number() })),
});

export function encodeEnvelope(envelope: Envelope): Uint8Array {
  return encode(envelope);
}

/** @throws JetclawError `codec.invalid` for anything that is not an envelope of a known version. */
export function decodeEnvelope(bytes: Uint8Array): Envelope {
  const parsed = schema.safeParse(decodeUntrusted(bytes));
  if (!parsed.success) throw new JetclawError("codec.invalid", z.prettifyError(parsed.error));
  return parsed.data as Envelope;
}
