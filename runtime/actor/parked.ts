/** Reads the bodies of parked messages back from their stream, no more of them than a mailbox holds. */
import { decodeEnvelope } from "#contracts/envelope.ts";
import { LIMITS } from "#contracts/limits.ts";
import { messageAt } from "../nats/reader.ts";
import type { HostContext } from "./host.ts";
import type { Delivery, ParkedDelivery } from "./mailbox.ts";
import { retrying } from "./retrying.ts";

/** @returns how many of them were read, and what is left of these */
export async function readParked(
  { bus, log }: Pick<HostContext, "bus" | "log">,
  stream: string,
  parked: readonly ParkedDelivery[],
  signal: AbortSignal,
): Promise<{ read: number; deliveries: readonly Delivery[] }> {
  const deliveries: Delivery[] = [];
  let [read, held] = [0, 0];
  for (; read < parked.length && held < LIMITS.mailboxBytes; read++) {
    const each = parked[read] as ParkedDelivery;
    const message = await retrying(log, signal, "read a parked message", () =>
      messageAt(bus, stream, each.seq),
    );
    if (message) {
      const bytes = message.data.length;
      deliveries.push({ ...each, envelope: decodeEnvelope(message.data), bytes });
      held += bytes;
    }
    // Purged or expired: else it would count as in flight for as long as the partition is owned.
    else each.ack();
  }
  return { read, deliveries };
}
