/** Messages that cannot be processed are kept with reason and history, and the rest goes on. */
import { createHash } from "node:crypto";
import { encode } from "#contracts/codec.ts";
import type { Envelope } from "#contracts/envelope.ts";
import { LIMITS } from "#contracts/limits.ts";
import { type ActorRoute, deadLetterSubject, deadLetterSubjectOf } from "#contracts/subjects.ts";
import type { Bus } from "../nats/connect.ts";
import { metrics } from "../observe/metrics.ts";
import type { Tried } from "./record.ts";
import { retrying } from "./retrying.ts";

/** A message that an actor gave up, or that no actor here is there for. */
export interface DeadMessage {
  readonly v: 1;
  readonly reference: string;
  readonly stream: string;
  readonly subject: string;
  readonly kind: string;
  readonly tenant: string;
  readonly key: string;
  readonly type: string;
  readonly id: string;
  readonly reason: string;
  /** First lines of the stack, and their digest: enough to tell two bugs apart, no message text. */
  readonly stack: string;
  readonly digest: string;
  /** Ms since the epoch. */
  readonly at: number;
  readonly attempts: readonly Tried[];
  readonly envelope: Envelope;
  /** No actor has it among its given-up messages: it may be sent again like any other. */
  readonly unowned?: boolean;
}

/** Bytes that nobody can read; cut where they would not fit. */
export interface DeadBytes {
  readonly v: 1;
  readonly reference: string;
  readonly stream: string;
  readonly subject: string;
  readonly reason: string;
  readonly at: number;
  readonly bytes: Uint8Array;
  /** Length before the cut. */
  readonly cutFrom?: number;
}

export type DeadLetter = DeadMessage | DeadBytes;

const REASON_CHARS = 1_000;
const STACK_LINES = 6;
const DIGEST_FRAMES = 2;

interface GivenUp {
  readonly stream: string;
  readonly route: ActorRoute;
  readonly envelope: Envelope;
  readonly cause: unknown;
  readonly attempts: readonly Tried[];
  readonly at: number;
  readonly unowned?: boolean;
}

function letterOf({ stream, route, envelope, cause, attempts, at, unowned }: GivenUp): DeadMessage {
  const { kind, tenant, key, path } = route;
  const stack = cause instanceof Error ? (cause.stack ?? "").split("\n").slice(0, STACK_LINES) : [];
  return {
    v: 1,
    reference: digestOf(`${path}.${envelope.id}`),
    stream,
    subject: `in.${route.partition}.${path}`,
    kind,
    tenant,
    key,
    type: envelope.type,
    id: envelope.id,
    reason: (cause instanceof Error ? cause.message : String(cause)).slice(0, REASON_CHARS),
    stack: stack.join("\n"),
    // The message may differ from case to case, and the callers do with the way to the handler.
    digest: digestOf(
      stack
        .filter((line) => /^\s+at /.test(line))
        .slice(0, DIGEST_FRAMES)
        .join("\n"),
    ),
    at,
    attempts: attempts.map(({ error, ...tried }) => ({
      ...tried,
      ...(error === undefined ? {} : { error: error.slice(0, REASON_CHARS) }),
    })),
    envelope,
    ...(unowned ? { unowned } : {}),
  };
}

/** Stores a dead letter. @returns its reference, the same for the same message */
export async function deadLetter(bus: Bus, given: GivenUp & { signal: AbortSignal }): Promise<string> {
  const letter = letterOf(given);
  await retrying(bus.log, given.signal, "store a dead letter", () => store(bus, given, letter));
  return letter.reference;
}

/** Stores a message to an actor of a kind that this host does not know. @throws JetclawError `nats.unavailable` */
export async function deadStranger(
  bus: Bus,
  given: Omit<GivenUp, "attempts" | "at" | "unowned">,
): Promise<void> {
  await store(bus, given, letterOf({ ...given, attempts: [], at: Date.now(), unowned: true }));
}

async function store(bus: Bus, { stream, route }: Pick<GivenUp, "stream" | "route">, letter: DeadMessage) {
  // No id for the dedupe window: what is given up again after a redrive is a new letter in the place of the old one.
  await bus.append(deadLetterSubject(stream, route, letter.reference), encode(letter));
  metrics.deadLetters({ kind: route.kind });
}

/** Stores bytes that are not a message at all. `kind`: of the actor behind a job. @returns its reference */
export async function deadBytes(
  bus: Bus,
  message: { readonly stream: string; readonly subject: string; readonly data: Uint8Array },
  reason: string,
  at: number,
  kind = "unknown",
): Promise<string> {
  const { stream, subject, data } = message;
  const reference = digestOf(Buffer.concat([Buffer.from(`${subject}\n`), data]));
  const cut = data.length > LIMITS.stateBytes;
  const letter: DeadBytes = {
    v: 1,
    reference,
    stream,
    subject,
    reason: reason.slice(0, REASON_CHARS),
    at,
    bytes: cut ? data.slice(0, LIMITS.stateBytes) : data,
    ...(cut ? { cutFrom: data.length } : {}),
  };
  await bus.append(deadLetterSubjectOf(stream, subject, kind, reference), encode(letter));
  metrics.deadLetters({ kind });
  return reference;
}

const digestOf = (what: string | Uint8Array): string =>
  createHash("sha256").update(what).digest("hex").slice(0, 12);
