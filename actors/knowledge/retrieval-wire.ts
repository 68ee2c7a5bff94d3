/** A question and its passages between a host and the role `retrieval`. */
import { z } from "zod";
import { decodeUntrusted, encode } from "#contracts/codec.ts";
import { type Passage, passageSchema } from "#contracts/job.ts";
import type { RetrievalQuery } from "./port.ts";

const askSchema = z.object({
  v: z.literal(1),
  tenant: z.string(),
  collections: z.array(z.string()).max(1_024),
  question: z.string(),
  locale: z.string().optional(),
  limit: z.number().int().min(0).max(256),
  /** Little-endian floats; null: the host tried and got none. */
  vector: z.instanceof(Uint8Array).nullish(),
});
const foundSchema = z.object({
  v: z.literal(1),
  passages: z.array(passageSchema),
  /** False: the index cannot prove that it has all that was acknowledged. */
  fresh: z.boolean(),
  /** Not looked for: so many are asked at once that nobody would be answered in time. */
  busy: z.boolean().default(false),
});

export interface Found {
  readonly passages: readonly Passage[];
  readonly fresh: boolean;
  readonly busy: boolean;
}

export function encodeAsk({ vector, ...query }: RetrievalQuery): Uint8Array {
  const bytes = vector && new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
  return encode({ v: 1, ...query, ...(vector === undefined ? {} : { vector: bytes }) });
}

/** @throws where the bytes are no question */
export function decodeAsk(data: Uint8Array): RetrievalQuery {
  const { vector, v: _, ...query } = askSchema.parse(decodeUntrusted(data));
  return {
    ...query,
    ...(vector === undefined ? {} : { vector: vector && new Float32Array(new Uint8Array(vector).buffer) }),
  };
}

export const encodeFound = (found: Omit<Found, "busy"> & Partial<Pick<Found, "busy">>): Uint8Array =>
  encode({ v: 1, ...found });

/** @throws where the bytes are no answer */
export function decodeFound(data: Uint8Array): Found {
  const { v: _, ...found } = foundSchema.parse(decodeUntrusted(data));
  return found;
}
