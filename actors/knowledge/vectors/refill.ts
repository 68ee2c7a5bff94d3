/** An index elsewhere that came up empty, filled from the records: nothing is embedded again. */
import type { JetclawError } from "#contracts/errors.ts";
import { VECTORS, vectorsFilter } from "#contracts/subjects.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { messagesFrom } from "#runtime/nats/reader.ts";
import { takeIn } from "./apart.ts";
import type { VectorIndex } from "./vector-index.ts";
import { decodeRecord, type VectorRecord } from "./vector-record.ts";

/** Documents read and written together. */
const PAGE = 64;

/**
 * Puts the records of a space into the index, except those that another model under its name has left. Beside traffic,
 * since an index refuses what is older than what it has.
 * @param onRefused called for a document that the index refuses while it takes others
 * @returns documents @throws JetclawError `nats.unavailable`, `vectors.unavailable`; what is in stays in
 */
export async function refill(
  bus: Bus,
  space: string,
  index: VectorIndex,
  onRefused: (record: VectorRecord, why: JetclawError) => Promise<void>,
): Promise<number> {
  let documents = 0;
  let dimensions: number | undefined;
  for (let seq = 1; ; ) {
    const page = await messagesFrom(bus, VECTORS, vectorsFilter(space), seq, PAGE);
    const last = page.at(-1);
    if (last === undefined) return documents;
    const records = page
      .flatMap(({ data }) => decodeRecord(data) ?? [])
      .filter(({ vectors: [vector] }) => {
        // The first decides, as for whoever reads them into memory.
        dimensions ??= vector?.length;
        return vector !== undefined && vector.length === dimensions;
      });
    const refusals = records.length > 0 ? await takeIn(index, records) : [];
    for (const [n, why] of refusals.entries())
      if (why) await onRefused(records[n] as VectorRecord, why);
      else documents++;
    seq = last.seq + 1;
  }
}
