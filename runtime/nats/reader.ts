/** Reading streams without owning their messages: ranges of a subject, single messages, states; and removing some. */
import { JetStreamApiError } from "@nats-io/jetstream";
import { JetclawError } from "#contracts/errors.ts";
import { batchGet, type StoredMessage } from "./batch-get.ts";
import { type Bus, natsError } from "./connect.ts";
import type { WhichMessage } from "./leader-answer.ts";

export type { StoredMessage } from "./batch-get.ts";

/** The message at a sequence, read from the leader; undefined when the stream no longer holds it. */
export function messageAt(bus: Bus, stream: string, seq: number): Promise<StoredMessage | undefined> {
  return fromLeader(bus, stream, { seq });
}

/** The first message at or after `seq` whose subject matches, read from the leader. */
export function nextMessage(
  bus: Bus,
  stream: string,
  filter: string,
  seq = 0,
): Promise<StoredMessage | undefined> {
  return fromLeader(bus, stream, { seq, next_by_subj: filter });
}

/** The last message whose subject matches, read from the leader: never behind an acknowledged append. */
export function lastMessage(bus: Bus, stream: string, filter: string): Promise<StoredMessage | undefined> {
  return fromLeader(bus, stream, { last_by_subj: filter });
}

async function fromLeader(bus: Bus, stream: string, which: WhichMessage): Promise<StoredMessage | undefined> {
  const answer = await bus.leaderGet(stream, which);
  return typeof answer === "string" ? undefined : answer;
}

/** Up to `batch` messages at or after `seq` whose subject matches, in order; fewer only where there are no more. */
export async function messagesFrom(
  bus: Bus,
  stream: string,
  filter: string,
  seq: number,
  batch: number,
): Promise<StoredMessage[]> {
  const messages: StoredMessage[] = [];
  for (let from = Math.max(1, seq), hasMore = true; hasMore && messages.length < batch; ) {
    const asked = { seq: from, next_by_subj: filter, batch: batch - messages.length };
    const part = await batchGet(bus, stream, asked);
    for (const message of part.messages) messages.push(message);
    from = (messages.at(-1)?.seq ?? 0) + 1;
    hasMore = part.hasMore && part.messages.length > 0;
  }
  return messages;
}

/**
 * Every message at or after `from` whose subject matches, in order: batches from whichever replica answers, and with
 * several replicas what that one did not have yet from the leader, so that nothing acknowledged is missing.
 */
export async function* everyMessage(
  bus: Bus,
  stream: string,
  filter: string,
  { from = 1, batch, replicas }: { from?: number; batch: number; replicas: number },
): AsyncGenerator<StoredMessage> {
  let seq = from;
  for (let length = batch; length === batch; ) {
    const page = await messagesFrom(bus, stream, filter, seq, batch);
    for (const message of page) yield message;
    seq = (page.at(-1)?.seq ?? seq - 1) + 1;
    length = page.length;
  }
  if (replicas === 1) return;
  for (;;) {
    const message = await nextMessage(bus, stream, filter, seq);
    if (!message) return;
    yield message;
    seq = message.seq + 1;
  }
}

/** The last message on each matching subject, of few and small ones. @throws JetclawError `nats.unavailable` */
export async function lastMessages(
  bus: Bus,
  stream: string,
  filters: readonly string[],
): Promise<readonly StoredMessage[]> {
  const { messages, hasMore } = await batchGet(bus, stream, { multi_last: filters, batch: MOST_LAST });
  if (hasMore) throw new JetclawError("nats.unavailable", `${stream} holds more of them than can be read`);
  return messages;
}
/** The server refuses more. */
const MOST_LAST = 1_024;

/** The subjects that hold a message and match. */
export async function subjectsOf(bus: Bus, stream: string, filter: string): Promise<ReadonlySet<string>> {
  try {
    const { state } = await bus.jsm.streams.info(stream, { subjects_filter: filter });
    return new Set(Object.keys(state.subjects ?? {}));
  } catch (error) {
    throw natsError(error);
  }
}

/** Removes every message on matching subjects. @returns how many */
export async function purge(bus: Bus, stream: string, filter: string): Promise<number> {
  try {
    return (await bus.jsm.streams.purge(stream, { filter })).purged;
  } catch (error) {
    throw natsError(error);
  }
}

/** Removes the messages on matching subjects that lie before a sequence. @returns how many */
export async function purgeBefore(bus: Bus, stream: string, filter: string, seq: number): Promise<number> {
  try {
    return (await bus.jsm.streams.purge(stream, { filter, seq })).purged;
  } catch (error) {
    throw natsError(error);
  }
}

/** Removes one message. False when it was gone already. */
export async function remove(bus: Bus, stream: string, seq: number): Promise<boolean> {
  try {
    return await bus.jsm.streams.deleteMessage(stream, seq, false);
  } catch (error) {
    if (error instanceof JetStreamApiError) return false;
    throw natsError(error);
  }
}

export interface StreamState {
  /** When it was made, as the server writes times; the same for as long as the stream is. */
  readonly createdAt: string;
  readonly messages: number;
  readonly bytes: number;
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly consumers: number;
}

export async function streamState(bus: Bus, stream: string): Promise<StreamState> {
  try {
    const { state, created } = await bus.jsm.streams.info(stream);
    return {
      createdAt: created,
      messages: state.messages,
      bytes: state.bytes,
      firstSeq: state.first_seq,
      lastSeq: state.last_seq,
      consumers: state.consumer_count,
    };
  } catch (error) {
    throw natsError(error);
  }
}
