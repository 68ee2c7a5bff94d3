/** The consumer that carries a partition's epoch in its name: replacing it voids the acks of the old owner. */
import { AckPolicy, JetStreamApiError } from "@nats-io/jetstream";
import { JetclawError } from "#contracts/errors.ts";
import { LIMITS } from "#contracts/limits.ts";
import { type Bus, NO_DATA, natsError } from "./connect.ts";
import { resumeIfPaused } from "./paused.ts";

/** A consumer of a higher epoch exists: the placement document that named us is outdated. */
export class SupersededEpoch extends Error {
  readonly epoch: number;

  constructor(name: string, epoch: number) {
    super(`a later owner exists: ${name}`);
    this.name = "SupersededEpoch";
    this.epoch = epoch;
  }
}

export interface ReplaceOptions {
  readonly stream: string;
  readonly name: string;
  /** What all epochs' names of the partition begin with. */
  readonly prefix: string;
  readonly epoch: number;
  readonly filter: string;
  /** The owner before has deleted its consumer, and this epoch's was never made: nothing is looked for first. */
  readonly clean: boolean;
  /** This host has had this epoch's consumer before: it is only set back to what is not acked. */
  readonly again: boolean;
}

const CONSUMER_NOT_FOUND = 10014;
const FILTER_OVERLAPS = 10100;
const MAX_PENDING = 20_000;
const TRIES = 8;
/** Its leader answers at once or there is none: asked again later, with nothing made meanwhile. */
const RESET_MS = 2_000;

/**
 * Deletes every lower epoch's consumer and makes this epoch's.
 * @returns the highest sequence that an earlier owner had been given
 * @throws SupersededEpoch, JetclawError `nats.unavailable`
 */
export async function replaceConsumer(bus: Bus, options: ReplaceOptions): Promise<{ deliveredUpTo: number }> {
  if (options.again && (await resetConsumer(bus, options))) return { deliveredUpTo: 0 };
  let deliveredUpTo = 0;
  let found = false;
  // Its own name too: an earlier take of this epoch may have left messages pending that nobody holds any more.
  let lower = options.clean ? [] : [`${options.prefix}${options.epoch - 1}`, options.name];
  for (let tried = 0; ; tried++) {
    try {
      const removed = lower.map((name) => removeConsumer(bus, options.stream, name));
      for (const delivered of await Promise.all(removed)) {
        found ||= delivered !== undefined;
        deliveredUpTo = Math.max(deliveredUpTo, delivered ?? 0);
      }
      await bus.jsm.consumers.add(options.stream, {
        durable_name: options.name,
        filter_subject: options.filter,
        ack_policy: AckPolicy.Explicit,
        ack_wait: LIMITS.inboundAckWaitMs * 1e6,
        max_ack_pending: MAX_PENDING,
        max_deliver: -1,
        // Its state would be written to a file of its own many times a second, for 64 partitions more than a third of
        // the server's CPU. A queue keeps what is not acked: a consumer that a restart forgot is made again and gets
        // exactly that.
        mem_storage: true,
      });
      // Consumers live in the server's memory: gone with it, nobody knows what the owner before was given, and any of
      // it may be what has ended both.
      if (!found && !options.clean && options.epoch > 1)
        deliveredUpTo = (await bus.jsm.streams.info(options.stream)).state.last_seq;
      return { deliveredUpTo };
    } catch (error) {
      // 10100: a consumer of another epoch is left; list and look. A restart at the same epoch finds its own.
      if (!(error instanceof JetStreamApiError) || error.code !== FILTER_OVERLAPS || tried >= TRIES)
        throw natsError(error);
      lower = await lowerEpochs(bus, options);
    }
  }
}

/**
 * Everything that is not acked is delivered again, in order. Two questions to the consumer's leader, where replacing it
 * costs the cluster's meta leader as many: after the loss of a node all hosts do it for all their partitions at once.
 * @returns false when there is no such consumer
 */
async function resetConsumer(bus: Bus, { stream, name }: ReplaceOptions): Promise<boolean> {
  // What was asked for before has ended with its subscription, once the server has heard of that.
  await bus.flush();
  // Asked first: a reset of a consumer that is gone is never answered.
  const known = await deliveriesOf(bus, stream, name);
  if (!known) return false;
  if (known.paused) void resumeIfPaused(bus, stream, name);
  const reply = await bus.request(`$JS.API.CONSUMER.RESET.${stream}.${name}`, NO_DATA, RESET_MS);
  const { error } = JSON.parse(decoder.decode(reply)) as { error?: { description: string } };
  if (error) throw new JetclawError("nats.unavailable", error.description);
  return true;
}
const decoder = new TextDecoder();

async function lowerEpochs(bus: Bus, options: ReplaceOptions): Promise<string[]> {
  const names: string[] = [];
  for await (const info of bus.jsm.consumers.list(options.stream)) {
    if (!info.name.startsWith(options.prefix)) continue;
    const epoch = Number(info.name.slice(options.prefix.length));
    if (epoch > options.epoch) throw new SupersededEpoch(info.name, epoch);
    if (epoch < options.epoch) names.push(info.name);
  }
  return names;
}

/** Name of the consumer of any epoch: for control runs of fault tests. */
export async function someEpoch(bus: Bus, stream: string, prefix: string): Promise<string | undefined> {
  for await (const { name } of bus.jsm.consumers.list(stream)) if (name.startsWith(prefix)) return name;
  return undefined;
}

/** Deletes a consumer. @returns the last sequence it delivered; 0 when nothing is pending; undefined when there was none */
async function removeConsumer(bus: Bus, stream: string, name: string): Promise<number | undefined> {
  try {
    const info = await bus.jsm.consumers.info(stream, name);
    await bus.jsm.consumers.delete(stream, name);
    return info.num_ack_pending > 0 ? info.delivered.stream_seq : 0;
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === CONSUMER_NOT_FOUND) return undefined;
    throw error;
  }
}

/** Deletes the consumer of an epoch that is over; its next owner would do it too. */
export async function deleteConsumer(bus: Bus, stream: string, name: string): Promise<void> {
  try {
    await bus.jsm.consumers.delete(stream, name);
  } catch (error) {
    if (!(error instanceof JetStreamApiError) || error.code !== CONSUMER_NOT_FOUND) throw natsError(error);
  }
}

export interface Deliveries {
  /** Since the consumer was made. */
  readonly delivered: number;
  readonly unacked: number;
  readonly paused: boolean;
}

/** Undefined when there is no such consumer. @throws JetclawError `nats.unavailable` */
export async function deliveriesOf(bus: Bus, stream: string, name: string): Promise<Deliveries | undefined> {
  try {
    const { delivered, num_ack_pending, paused = false } = await bus.jsm.consumers.info(stream, name);
    return { delivered: delivered.consumer_seq, unacked: num_ack_pending, paused };
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === CONSUMER_NOT_FOUND) return undefined;
    throw natsError(error);
  }
}
