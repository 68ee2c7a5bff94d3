/**
 * The spaces of vectors that a deployment holds, and the end of those that no process uses any more: a model that was
 * replaced leaves its records, its reader and, in Qdrant, its collection.
 */
import {
  indexerConsumer,
  KNOWLEDGE,
  VECTORS,
  vectorsFilter,
  vectorsMarks,
  vectorsSpace,
} from "#contracts/subjects.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { removeReader } from "#runtime/nats/durable.ts";
import { everyMessage, lastMessages, purge } from "#runtime/nats/reader.ts";
import type { Presence } from "#runtime/observe/presence.ts";
import { INDEXER_ROLE, READER_ROLE } from "../readers.ts";
import { decodeMark, decodeRecord } from "./vector-record.ts";

export interface VectorSpace {
  readonly space: string;
  /** Change of KNOWLEDGE up to which it has vectors. */
  readonly indexed: number;
  /** Processes that make or search its vectors. */
  readonly users: number;
}

/** A space shows here once an indexer has worked on it. @throws JetclawError `nats.unavailable` */
export async function vectorSpaces(bus: Bus, presence: Presence): Promise<VectorSpace[]> {
  const marks = await lastMessages(bus, VECTORS, [vectorsMarks]);
  const beats = presence.live().filter(({ role }) => role === INDEXER_ROLE || role === READER_ROLE);
  return marks.flatMap(({ data }) => {
    const mark = decodeMark(data);
    return mark ? [{ ...mark, users: beats.filter(({ info }) => info.space === mark.space).length }] : [];
  });
}

/**
 * Numbers of a vector in a space, as the oldest record has them, which decides for whoever reads them all; undefined while
 * there is none. @throws JetclawError `nats.unavailable`
 */
export async function dimensionsOf(bus: Bus, space: string): Promise<number | undefined> {
  // Deletions have no vectors.
  for await (const { data } of everyMessage(bus, VECTORS, vectorsFilter(space), { batch: 16, replicas: 1 })) {
    const length = decodeRecord(data)?.vectors[0]?.length;
    if (length !== undefined) return length;
  }
  return undefined;
}

/**
 * Takes a space out. An indexer that is started for it later makes everything anew.
 * @returns records @throws JetclawError `nats.unavailable`
 */
export async function removeSpace(bus: Bus, space: string): Promise<number> {
  // The reader first: one that stayed would never make again what is purged.
  await removeReader(bus, KNOWLEDGE, indexerConsumer(space));
  const purged = await purge(bus, VECTORS, vectorsSpace(space));
  return Math.max(0, purged - 1);
}
