/** Streams outside the product's topology, as a measurement declares them. */
import { AckPolicy, DiscardPolicy, RetentionPolicy, StorageType } from "@nats-io/jetstream";
import { type Bus, natsError } from "./connect.ts";

export interface PlainStream {
  readonly name: string;
  readonly subjects: readonly string[];
  /** `work`: a message goes when it is acked. `bucket`: the last of each subject is kept. `log`: all are. */
  readonly kind: "work" | "bucket" | "log" | "memory";
  /** Name of a consumer of everything in it. */
  readonly consumer?: string;
}

const MEMORY_BYTES = 256 * 2 ** 20;
const MEMORY_AGE_MS = 900_000;
const ACK_WAIT_MS = 60_000;

/** @throws JetclawError `nats.unavailable` */
export async function makePlainStream(
  bus: Bus,
  { name, subjects, kind, consumer }: PlainStream,
): Promise<void> {
  const kinds = {
    work: { retention: RetentionPolicy.Workqueue },
    bucket: { max_msgs_per_subject: 1, discard: DiscardPolicy.New, allow_direct: true },
    log: {},
    memory: { storage: StorageType.Memory, max_bytes: MEMORY_BYTES, max_age: MEMORY_AGE_MS * 1e6 },
  } as const;
  try {
    await bus.jsm.streams.add({ name, subjects: [...subjects], ...kinds[kind] });
    if (consumer)
      await bus.jsm.consumers.add(name, {
        durable_name: consumer,
        ack_policy: AckPolicy.Explicit,
        ack_wait: ACK_WAIT_MS * 1e6,
        max_ack_pending: 10_000,
      });
  } catch (error) {
    throw natsError(error);
  }
}
