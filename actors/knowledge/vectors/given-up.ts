/**
 * Documents whose vectors were refused: a dead letter each, without any of their text. They are found by their words, and
 * tried again when they are changed.
 */
import { decodeUntrusted, encode } from "#contracts/codec.ts";
import { type ErrorCode, JetclawError } from "#contracts/errors.ts";
import { KNOWLEDGE, knowledgeSubject } from "#contracts/subjects.ts";
import { type DeadBytes, deadBytes } from "#runtime/actor/dead-letter.ts";
import type { RedriveResult } from "#runtime/actor/dead-letters.ts";
import { type Bus, StaleRevision } from "#runtime/nats/connect.ts";
import { lastMessage } from "#runtime/nats/reader.ts";
import type { DocumentAddress } from "./vector-index.ts";

const KIND = "knowledge";
const REFUSALS: ReadonlySet<ErrorCode> = new Set([
  "embeddings.rejected",
  "vectors.rejected",
  "nats.too-large",
]);

/** What is said of a document, others being taken. One of many servers behind an address may say it of any. */
export const isRefusal = ({ code }: JetclawError): boolean => REFUSALS.has(code);

/** The model gives vectors that nobody could compare with those in use. */
export const isMisfit = (error: unknown): boolean =>
  error instanceof JetclawError && error.code === "vectors.dimension";

export interface Refused extends DocumentAddress {
  /** Another model or index may take it. */
  readonly space: string;
  readonly revision: number;
}

/** @throws JetclawError `nats.unavailable` */
export async function giveUp(bus: Bus, refused: Refused, why: JetclawError): Promise<void> {
  // Whoever gives up a whole event must not leave its text here.
  const { space, tenant, collection, document, revision } = refused;
  const subject = knowledgeSubject(tenant, collection, document);
  const reason = `${collection}/${document} has no vectors: ${why.message}`;
  const reference = await deadBytes(
    bus,
    { stream: KNOWLEDGE, subject, data: encode({ space, tenant, collection, document, revision }) },
    reason,
    Date.now(),
    KIND,
  );
  bus.log.error(
    { err: why, tenant, collection, document, revision },
    `document has no vectors and is found by its words alone: change it, or mend the cause, then jetclaw dead redrive ${reference}`,
  );
}

/** Stores the document anew as it is, for a further try. Settled: it has been changed, and tried again by that. */
export async function redriveDocument(bus: Bus, { subject, bytes }: DeadBytes): Promise<RedriveResult> {
  const { revision } = decodeUntrusted<Partial<Refused>>(bytes);
  const stored = await lastMessage(bus, KNOWLEDGE, subject);
  if (!stored || stored.seq !== revision) return "settled";
  try {
    await bus.append(subject, stored.data, { expectedRevision: stored.seq });
    return "redriven";
  } catch (error) {
    if (error instanceof StaleRevision) return "settled";
    throw error;
  }
}
