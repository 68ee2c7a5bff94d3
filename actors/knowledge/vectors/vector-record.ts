/**
 * What VECTORS holds of a document: its vectors with the hashes of their texts. It is the log that indexes in memory
 * follow, the cache that spares embedding a text again, and what a new index is filled from.
 */
import { decode, encode } from "#contracts/codec.ts";
import { isId } from "#contracts/ids.ts";
import { VECTORS } from "#contracts/subjects.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { lastMessage } from "#runtime/nats/reader.ts";
import { decodeHalf, encodeHalf } from "../embeddings/float16.ts";
import { unitLength } from "../embeddings/unit-length.ts";
import { UNKNOWN_LANGUAGE, type VectorDocument } from "./vector-index.ts";

const RECORD_VERSION = 1;

/** A document without vectors was deleted; its record stays, so that followers see it and older ones are refused. */
export type VectorRecord = VectorDocument;

interface Stored extends Omit<VectorRecord, "vectors"> {
  readonly v: number;
  readonly dimensions: number;
  /** Half precision, one vector after the other. */
  readonly vectors: Uint8Array;
}

export function encodeRecord(record: VectorRecord): Uint8Array {
  const dimensions = record.vectors[0]?.length ?? 0;
  const vectors = new Uint8Array(record.vectors.length * dimensions * 2);
  for (const [n, vector] of record.vectors.entries()) vectors.set(encodeHalf(vector), n * dimensions * 2);
  return encode({ ...record, v: RECORD_VERSION, dimensions, vectors } satisfies Stored);
}

/** What stands at the mark of a space. */
export interface Mark {
  readonly space: string;
  /** Every change of KNOWLEDGE up to here has its vectors before the mark. */
  readonly indexed: number;
}

export const encodeMark = (mark: Mark): Uint8Array => encode({ v: RECORD_VERSION, ...mark });

/** Undefined for bytes that are no mark. */
export function decodeMark(data: Uint8Array): Mark | undefined {
  const { v, space, indexed } = decode<Partial<Mark> & { v?: unknown }>(data);
  if (v !== RECORD_VERSION || typeof space !== "string" || typeof indexed !== "number") return undefined;
  return { space, indexed };
}

/** Undefined for bytes that are no record of a version we know. */
export function decodeRecord(data: Uint8Array): VectorRecord | undefined {
  let stored: Partial<Stored> | null;
  try {
    stored = decode<Partial<Stored> | null>(data);
  } catch {
    return undefined;
  }
  if (typeof stored !== "object" || stored === null || stored.v !== RECORD_VERSION) return undefined;
  const { tenant, collection, document, revision, language, hashes, dimensions = 0, vectors } = stored;
  if (!isId(tenant) || !isId(collection) || !isId(document) || !Array.isArray(hashes)) return undefined;
  if (!(vectors instanceof Uint8Array) || vectors.length !== hashes.length * dimensions * 2) return undefined;
  const decoded = hashes.map((_, n) => unitLength(decodeHalf(vectors, n * dimensions * 2, dimensions)));
  if (decoded.includes(undefined)) return undefined;
  return {
    tenant,
    collection,
    document,
    revision: Number(revision),
    language: String(language ?? UNKNOWN_LANGUAGE),
    hashes: hashes as string[],
    vectors: decoded as Float32Array[],
  };
}

/**
 * What VECTORS holds on a subject. One that cannot be read is there all the same: it is replaced.
 * @throws JetclawError `nats.unavailable`
 */
export async function lastRecord(
  bus: Bus,
  subject: string,
): Promise<{ readonly record: VectorRecord | undefined; readonly seq: number } | undefined> {
  const message = await lastMessage(bus, VECTORS, subject);
  return message && { record: decodeRecord(message.data), seq: message.seq };
}
