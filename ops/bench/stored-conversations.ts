/**
 * Conversations written straight into the store as their actors leave them, by the actors' own functions: turns in TURNS,
 * where each lies far from the next, as people's turns do; the record of a conversation that was closed as idle; and what
 * it keeps beside that. `test/flow/stored-conversations.test.ts` holds them to what a host leaves.
 */
import { recordOf, recordSubject } from "#actors/conversation/closing.ts";
import { keepingTurns, placeTurn, STATE_VERSION, storeState } from "#actors/conversation/stored.ts";
import {
  awaitJob,
  type ConversationState,
  closeTurn,
  initialState,
  openTurn,
  type PastTurn,
  step,
} from "#actors/conversation/turn.ts";
import { encode } from "#contracts/codec.ts";
import { shardOf } from "#contracts/ids.ts";
import { type ActorRoute, actorsBucket, bucketSubject, keptKey, routeOf } from "#contracts/subjects.ts";
import { CONVERSATION } from "#contracts/turn.ts";
import { NO_USAGE } from "#contracts/usage.ts";
import type { SystemActor } from "#runtime/actor/define.ts";
import { encodeKept } from "#runtime/actor/kept.ts";
import { encodeRecord, ProcessedIds } from "#runtime/actor/record.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import type { Deployment } from "#runtime/nats/topology.ts";
import { randomFrom, textOf } from "./shape.ts";

const TENANTS = 20;
const QUESTION_BYTES = 120;
const REPLY_BYTES = 400;
/** Texts differ, so that nothing is smaller than it would be. */
const TEXTS = 64;
/** One in so many is acknowledged: the store then has all before it. */
const ACKED_EVERY = 64;
const ACKS_IN_FLIGHT = 48;
const SAID_EVERY = 250_000;
/** Between two turns of a conversation, which belong to different visits. */
const VISIT_MS = 86_400_000;
const FIRST_AT = 1_780_000_000_000;
const ANSWER_MS = 800;
const ASSISTANT = "bench";
const NOTHING = { quietMs: 0, capMs: 0 };

export const sessionOf = (n: number): { tenant: string; session: string } => ({
  tenant: `tenant-${n % TENANTS}`,
  session: `s${n}`,
});

interface Message {
  readonly subject: string;
  readonly data: Uint8Array;
}

/** Bytes of one of them, of each kind. */
export interface StoredBytes {
  readonly turn: number;
  readonly record: number;
  readonly kept: number;
}

/** @param turns of each conversation */
export async function storeConversations(
  bus: Bus,
  deployment: Deployment,
  { count, turns, seed, say }: { count: number; turns: number; seed: number; say: (line: string) => void },
): Promise<StoredBytes> {
  const writer = new StoredConversations(deployment.shards, seed);
  let bytes = { turn: 0, record: 0, kept: 0 };
  for (let turn = 1; turn <= turns; turn++) {
    say(`turn ${turn} of ${turns} of all conversations`);
    await appendAll(bus, deployment, count, (n) => {
      const message = writer.turnOf(n, turn);
      bytes = { ...bytes, turn: message.data.length };
      return [message];
    });
  }
  let said = 0;
  await appendAll(bus, deployment, count, (n) => {
    if (++said % SAID_EVERY === 0) say(`${said} of ${count} conversations stored`);
    const messages = writer.recordOf(n, turns);
    bytes = { ...bytes, record: messages[0]?.data.length ?? 0, kept: messages[1]?.data.length ?? 0 };
    return messages;
  });
  return bytes;
}

/** Nobody else writes, so what is sent in order is numbered in order. */
export class StoredConversations {
  readonly #shards: number;
  readonly #texts: readonly { readonly question: string; readonly reply: string }[];
  readonly #lastTurn: number[];
  readonly #lastRecord: number[];
  /** Where the turns of each lie. */
  readonly #places = new Map<number, number[]>();

  constructor(shards: number, seed: number) {
    const random = randomFrom(seed);
    this.#shards = shards;
    this.#lastTurn = new Array<number>(shards).fill(0);
    this.#lastRecord = new Array<number>(shards).fill(0);
    this.#texts = Array.from({ length: TEXTS }, () => ({
      question: textOf(QUESTION_BYTES, random),
      reply: textOf(REPLY_BYTES, random),
    }));
  }

  /** The record of a turn in TURNS. Turns are to be asked for in order. */
  turnOf(n: number, turn: number): Message {
    const route = routeTo(n);
    const shard = shardOf(route.partition, this.#shards);
    const seq = (this.#lastTurn[shard] ?? 0) + 1;
    this.#lastTurn[shard] = seq;
    this.#places.set(n, [...(this.#places.get(n) ?? []), seq]);
    const open = this.#opened(initialState(), n, turn);
    const now = openedAt(n, turn) + ANSWER_MS;
    const actor = { ...route, state: open, now } as unknown as SystemActor<ConversationState>;
    const ending = this.#ending(n, turn);
    const record = recordOf(actor, {
      turn,
      messages: open.open.messages,
      channel: open.channel,
      startedAt: open.open.startedAt,
      assistant: ASSISTANT,
      closing: { ending, attempt: 1, lastChunk: 0 },
    });
    const subject = recordSubject(actor, this.#shards, open.channel);
    return { subject, data: encode({ ...record, id: `${route.path}.${seq}.1` }) };
  }

  /** The record of the actor behind so many turns, and what it keeps. */
  recordOf(n: number, turns: number): Message[] {
    const route = routeTo(n);
    const shard = shardOf(route.partition, this.#shards);
    const state = this.#stateOf(n, turns);
    const key = (name: string): string => bucketSubject(actorsBucket(shard), name);
    const kept = keepingTurns(() => undefined);
    const seq = (this.#lastRecord[shard] ?? 0) + 1;
    const record = { subject: key(route.path), data: this.#encoded(n, turns, state) };
    this.#lastRecord[shard] = seq;
    if (!kept.isDue(state)) return [record];
    this.#lastRecord[shard] = seq + 1;
    const { data } = kept.take(state, route, openedAt(n, turns));
    return [record, { subject: key(keptKey(route)), data: encodeKept(seq, data) }];
  }

  #encoded(n: number, turns: number, state: ConversationState): Uint8Array {
    return encodeRecord({
      op: `writer.${n.toString(36)}`,
      state,
      stored: storeState(state),
      stateVersion: STATE_VERSION,
      processed: new ProcessedIds(Array.from({ length: turns }, (_, before) => idOf(n, before + 1))),
      newlyProcessed: [],
      outbox: [],
      seq: n + 1,
      timers: {},
      attempts: {},
      givenUp: [],
      floor: 0,
    });
  }

  #stateOf(n: number, turns: number): ConversationState {
    let state = initialState();
    for (let turn = 1; turn <= turns; turn++) {
      state = closeTurn(this.#opened(state, n, turn), this.#ending(n, turn), openedAt(n, turn) + ANSWER_MS);
      const seq = this.#places.get(n)?.[turn - 1];
      if (seq !== undefined) placeTurn(state.history.at(-1) as PastTurn, seq);
    }
    return { ...state, assistant: ASSISTANT, idleSince: openedAt(n, turns) + VISIT_MS };
  }

  #opened(before: ConversationState, n: number, turn: number) {
    const at = openedAt(n, turn);
    const parts = [{ type: "text" as const, text: this.#textsOf(n, turn).question }];
    const message = { parts, channel: "web", locale: "en" };
    const user = { type: "user" as const, id: idOf(n, turn), at, message, quiet: NOTHING };
    const { open, ...opened } = openTurn({ ...step(before, user, at).state, turn: turn - 1 });
    return awaitJob({ ...opened, open }, waitingFor(routeTo(n), turn)) as typeof opened & {
      open: typeof open;
    };
  }

  #ending(n: number, turn: number) {
    return {
      outcome: "answered" as const,
      reply: this.#textsOf(n, turn).reply,
      citations: [],
      model: "echo",
      cached: false,
      usage: NO_USAGE,
    };
  }

  #textsOf(n: number, turn: number) {
    return this.#texts[(n + turn) % TEXTS] as { question: string; reply: string };
  }
}

const routeTo = (n: number): ActorRoute => {
  const { tenant, session } = sessionOf(n);
  return routeOf({ kind: CONVERSATION, tenant, key: session });
};
const openedAt = (n: number, turn: number): number => FIRST_AT + n + turn * VISIT_MS;
const idOf = (n: number, turn: number): string => `m${n}-${turn}`;
const waitingFor = ({ path }: ActorRoute, turn: number) => ({
  id: `${path}.${turn}.0`,
  step: 0,
  pool: "default",
  cls: "ongoing" as const,
  deadline: 0,
  route: { pool: "default", tier: "default", reasons: ["the only pool"] },
  locale: "en",
});

async function appendAll(
  bus: Bus,
  { shards }: Deployment,
  count: number,
  next: (n: number) => readonly Message[],
): Promise<void> {
  const acks = new Set<Promise<unknown>>();
  for (let n = 0; n < count; n++) {
    for (const { subject, data } of next(n)) {
      if (n % ACKED_EVERY > 0 && n < count - shards * ACKED_EVERY) {
        bus.publish(subject, data);
        continue;
      }
      const ack = bus.append(subject, data).finally(() => acks.delete(ack));
      acks.add(ack);
    }
    if (acks.size >= ACKS_IN_FLIGHT) await Promise.race(acks);
  }
  await Promise.all(acks);
}
