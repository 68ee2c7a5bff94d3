/** The consumer that carries a partition's epoch in its name: replacing it voids the acks of the old owner. */
import { AckPolicy } from "@nats-io/jetstream";
import { JetclawError } from "#contracts/errors.ts";
import { LIMITS } from "#contracts/limits.ts";
import { type Bus, NO_DATA } from "./connect.ts";
import { resumeIfPaused } from "./paused.ts";
import { streamState } from "./reader.ts";

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
  readonly setBack: boolean;
}

const CONSUMER_NOT_FOUND = 10014;
const FILTER_OVERLAPS = 10100;
const MAX_PENDING = 20_000;
const TRIES = 8;
/** A consumer's leader answers at once or there is none: asked again later, with nothing made meanwhile. */
const ANSWER_MS = 2_000;
/** The meta leader makes many, one after the other; what was asked of one that has just gone is asked again soon. */
const CREATED_MS = 5_000;
/** Who waits for counts asks again soon: a new leader may just have come. */
const COUNTS_MS = 750;

/**
 * Deletes every lower epoch's consumer and makes this epoch's.
 * @returns the highest sequence that an earlier owner had been given
 * @throws SupersededEpoch, JetclawError `nats.unavailable`
 */
export async function replaceConsumer(bus: Bus, options: ReplaceOptions): Promise<{ deliveredUpTo: number }> {
  if (options.setBack && (await resetConsumer(bus, options))) return { deliveredUpTo: 0 };
  let deliveredUpTo = 0;
  let found = false;
  // Its own name too: an earlier take of this epoch may have left messages pending that nobody holds any more.
  let lower = options.clean ? [] : [`${options.prefix}${options.epoch - 1}`, options.name];
  for (let tried = 0; ; tried++) {
    const removed = lower.map((name) => removeConsumer(bus, options.stream, name));
    for (const delivered of await Promise.all(removed)) {
      found ||= delivered !== undefined;
      deliveredUpTo = Math.max(deliveredUpTo, delivered ?? 0);
    }
    if (await createConsumer(bus, options)) break;
    // A consumer of another epoch is left; list and look. A restart at the same epoch finds its own.
    if (tried >= TRIES)
      throw new JetclawError(
        "nats.unavailable",
        `consumers of other epochs are in the way of ${options.name}`,
      );
    lower = await lowerEpochs(bus, options);
  }
  // Consumers live in the server's memory: gone with it, nobody knows what the owner before was given, and any of it may
  // be what has ended both.
  if (!found && !options.clean && options.epoch > 1)
    deliveredUpTo = (await streamState(bus, options.stream)).lastSeq;
  return { deliveredUpTo };
}

/** @returns false when a consumer of another epoch is in the way */
async function createConsumer(bus: Bus, { stream, name, filter }: ReplaceOptions): Promise<boolean> {
  const config = {
    durable_name: name,
    filter_subject: filter,
    ack_policy: AckPolicy.Explicit,
    ack_wait: LIMITS.inboundAckWaitMs * 1e6,
    max_ack_pending: MAX_PENDING,
    max_deliver: -1,
    // Its state would be written to a file of its own many times a second, for 64 partitions more than a third of the
    // server's CPU. A queue keeps what is not acked: a consumer that a restart forgot is made again and gets exactly that.
    mem_storage: true,
  };
  const request = new TextEncoder().encode(JSON.stringify({ stream_name: stream, config }));
  const answer = await ask(bus, `DURABLE.CREATE.${stream}.${name}`, { request, timeoutMs: CREATED_MS });
  return answer !== FILTER_OVERLAPS && answer !== CONSUMER_NOT_FOUND;
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
  const known = await ask(bus, `INFO.${stream}.${name}`);
  if (typeof known === "number") return false;
  if (known.paused) void resumeIfPaused(bus, stream, name);
  await ask(bus, `RESET.${stream}.${name}`);
  return true;
}

interface ConsumerAnswer {
  readonly error?: { readonly err_code: number; readonly description: string };
  readonly delivered?: { readonly consumer_seq: number; readonly stream_seq: number };
  readonly num_ack_pending?: number;
  readonly paused?: boolean;
}

type Refusal = typeof CONSUMER_NOT_FOUND | typeof FILTER_OVERLAPS;

/**
 * What the server says, or the code of a refusal that means something here. nats.js waits for as long as for anything
 * else, which is too long for what has a leader that goes.
 * @throws JetclawError `nats.unavailable`
 */
async function ask(
  bus: Bus,
  what: string,
  { request = NO_DATA, timeoutMs = ANSWER_MS }: { request?: Uint8Array; timeoutMs?: number } = {},
): Promise<ConsumerAnswer | Refusal> {
  const reply = await bus.request(`$JS.API.CONSUMER.${what}`, request, timeoutMs);
  const answer = JSON.parse(decoder.decode(reply)) as ConsumerAnswer;
  const { error } = answer;
  if (!error) return answer;
  const { err_code: code, description } = error;
  if (code === CONSUMER_NOT_FOUND || code === FILTER_OVERLAPS) return code;
  throw new JetclawError("nats.unavailable", description);
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
  const info = await ask(bus, `INFO.${stream}.${name}`);
  if (typeof info === "number") return undefined;
  await deleteConsumer(bus, stream, name);
  return info.num_ack_pending ? info.delivered?.stream_seq : 0;
}

/** Deletes the consumer of an epoch that is over; its next owner would do it too. */
export async function deleteConsumer(bus: Bus, stream: string, name: string): Promise<void> {
  await ask(bus, `DELETE.${stream}.${name}`);
}

export interface Deliveries {
  /** Since the consumer was made. */
  readonly delivered: number;
  readonly unacked: number;
  readonly paused: boolean;
}

/** Undefined when there is no such consumer. @throws JetclawError `nats.unavailable` */
export async function deliveriesOf(bus: Bus, stream: string, name: string): Promise<Deliveries | undefined> {
  const info = await ask(bus, `INFO.${stream}.${name}`, { timeoutMs: COUNTS_MS });
  if (typeof info === "number") return undefined;
  const { delivered, num_ack_pending = 0, paused = false } = info;
  return { delivered: delivered?.consumer_seq ?? 0, unacked: num_ack_pending, paused };
}
