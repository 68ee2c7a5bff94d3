/** A consumer's loop as nats.js offers it, on a connection of which nothing was changed: what a measurement compares ours with. */
import { jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { natsError } from "./connect.ts";

/** Longer than any measurement lets it wait. */
const EXPIRES_MS = 30_000;

export interface PlainConsumer {
  readonly stream: string;
  readonly consumer: string;
  /** Messages held at once. */
  readonly slots: number;
}

/** Asks for a message a slot, works, acks, asks again. @returns what ends it @throws JetclawError `nats.unavailable` */
export async function consumePlainly(
  url: string,
  { stream, consumer, slots }: PlainConsumer,
  work: () => Promise<void>,
): Promise<() => Promise<void>> {
  try {
    const nc = await connect({ servers: url });
    const messages = await jetstream(nc).consumers.get(stream, consumer);
    const loop = async (): Promise<void> => {
      while (!nc.isClosed()) {
        const message = await messages.next({ expires: EXPIRES_MS });
        if (!message) continue;
        await work();
        message.ack();
      }
    };
    // A loop ends with its connection, and says so by throwing.
    for (let slot = 0; slot < slots; slot++) loop().catch(() => {});
    return () => nc.close();
  } catch (error) {
    throw natsError(error);
  }
}
