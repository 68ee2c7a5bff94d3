/** A durable reader of a stream: every event is handled at least once, by one of the processes that share its name. */
import { AckPolicy, DeliverPolicy } from "@nats-io/jetstream";
import { type Bus, natsError } from "./connect.ts";
import { resumeIfPaused } from "./paused.ts";
import { type Pulled, Puller } from "./pull.ts";

export interface DurableOptions {
  readonly stream: string;
  readonly name: string;
  readonly filter: string;
  /** Events handled at once. */
  readonly inFlight: number;
  /** A rejected promise gives the event back after a growing delay. */
  readonly handle: (message: Pulled) => Promise<void>;
}

export interface DurableReader {
  /** Stops taking and waits for what is being handled. */
  stop(): Promise<void>;
  /** Events not yet handled. */
  waiting(): Promise<number>;
  /** How far all who share the name are together: every event up to `floor` is handled, and so many are not. */
  progress(): Promise<{ floor: number; pending: number }>;
}

const EXPIRES_MS = 30_000;
/**
 * What a dead process held comes again after so long, and until then nobody can say that it is handled. Whoever works on
 * an event says so more often than that, so that slow work is not done twice.
 */
const ACK_WAIT_MS = 2_000;
const WORKING_MS = 600;

/** Starts handling. @throws JetclawError `nats.unavailable` */
export async function readDurably(bus: Bus, options: DurableOptions): Promise<DurableReader> {
  const ensure = async (): Promise<void> => {
    try {
      const { paused } = await bus.jsm.consumers.add(options.stream, {
        durable_name: options.name,
        filter_subject: options.filter,
        deliver_policy: DeliverPolicy.All,
        ack_policy: AckPolicy.Explicit,
        ack_wait: ACK_WAIT_MS * 1e6,
        max_ack_pending: 10_000,
      });
      if (paused) void resumeIfPaused(bus, options.stream, options.name);
    } catch (error) {
      throw natsError(error);
    }
  };
  await ensure();
  // What was done to it while nobody here could hear of it.
  const reconnects = bus.onReconnect(() => void ensure().catch(() => {}));
  const puller = new Puller(bus);
  const running = new Set<Promise<void>>();
  let stopped = false;
  const channel = puller.channel(options.stream, options.name);
  let outstanding = false;

  const handle = async (message: Pulled): Promise<void> => {
    const working = setInterval(() => message.working(), WORKING_MS);
    try {
      await options.handle(message);
      message.ack();
    } catch (err) {
      bus.log.warn({ err, reader: options.name }, "event not handled, trying again");
      message.nak(Math.min(30_000, 250 * 2 ** Math.min(message.deliveries, 7)));
    } finally {
      clearInterval(working);
    }
  };
  const pull = (): void => {
    const free = options.inFlight - running.size;
    if (stopped || outstanding || free <= 0) return;
    outstanding = true;
    channel.request({
      batch: free,
      expiresMs: EXPIRES_MS,
      onMessage: (message) => {
        const work = handle(message).finally(() => {
          running.delete(work);
          pull();
        });
        running.add(work);
      },
      onEnd: (end) => {
        outstanding = false;
        if (end === "consumer-gone") ensure().then(pull, () => setTimeout(pull, 1_000));
        else if (end === "broken" || end === "limit") setTimeout(pull, 500);
        else pull();
      },
    });
  };
  const progress: DurableReader["progress"] = async () => {
    try {
      const { num_pending, num_ack_pending, ack_floor, delivered } = await bus.jsm.consumers.info(
        options.stream,
        options.name,
      );
      const pending = num_pending + num_ack_pending;
      return { pending, floor: pending === 0 ? delivered.stream_seq : ack_floor.stream_seq };
    } catch (error) {
      throw natsError(error);
    }
  };
  pull();
  return {
    async stop() {
      stopped = true;
      reconnects.stop();
      channel.close();
      await Promise.all(running);
      puller.close();
    },
    async waiting() {
      return (await progress()).pending;
    },
    progress,
  };
}
