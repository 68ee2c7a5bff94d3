/** Messages that cannot be processed are kept with reason and history, and the rest goes on. */
import { createHash } from "node:crypto";
import { encode } from "#contracts/codec.ts";
import type { Envelope } from "#contracts/envelope.ts";
import { type ActorRoute, deadLetterSubject } from "#contracts/subjects.ts";
import type { Bus } from "../nats/connect.ts";
import { metrics } from "../observe/metrics.ts";
import { retrying } from "./retrying.ts";

export interface DeadLetter {
  readonly v: 1;
  readonly reference: string;
  readonly stream: string;
  readonly kind: string;
  readonly tenant: string;
  readonly key: string;
  readonly type: string;
  readonly id: string;
  readonly reason: string;
  /** First lines of the stack: enough to tell two bugs apart, no message text. */
  readonly stack: string;
  readonly at: number;
  readonly envelope: Envelope;
}

/** Stores a dead letter. @returns its reference, the same for the same message */
export async function deadLetter(
  bus: Bus,
  letter: { stream: string; route: ActorRoute; envelope: Envelope; cause: unknown; signal: AbortSignal },
): Promise<string> {
  const { stream, route, envelope, cause, signal } = letter;
  const reference = createHash("sha256").update(`${route.path}.${envelope.id}`).digest("hex").slice(0, 12);
  const body: DeadLetter = {
    v: 1,
    reference,
    stream,
    kind: route.kind,
    tenant: route.tenant,
    key: route.key,
    type: envelope.type,
    id: envelope.id,
    reason: cause instanceof Error ? cause.message.slice(0, 1_000) : String(cause).slice(0, 1_000),
    stack: cause instanceof Error ? (cause.stack ?? "").split("\n").slice(0, 6).join("\n") : "",
    at: Date.now(),
    envelope,
  };
  const subject = deadLetterSubject(stream, route.tenant, route.key);
  await retrying(bus.log, signal, "store a dead letter", () =>
    bus.append(subject, encode(body), { id: `dead.${reference}` }),
  );
  metrics.deadLetters({ kind: route.kind });
  return reference;
}

/** Stores bytes that are not an envelope at all. */
export async function deadBytes(
  bus: Bus,
  stream: string,
  subject: string,
  data: Uint8Array,
  reason: string,
): Promise<void> {
  const reference = createHash("sha256").update(data).digest("hex").slice(0, 12);
  await bus.append(
    deadLetterSubject(stream, "unknown", reference),
    encode({ v: 1, reference, stream, subject, reason, at: Date.now(), bytes: data }),
    {
      id: `dead.${reference}`,
    },
  );
  metrics.deadLetters({ kind: "unknown" });
}
