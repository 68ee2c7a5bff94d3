/**
 * Conversations written straight into the store, in the form in which their actor leaves them after a turn: the last one
 * in the record, those before it in TURNS, where each lies far from the next, as people's turns do.
 */
import { STATE_VERSION, storeState } from "#actors/conversation/stored.ts";
import { initialState } from "#actors/conversation/turn.ts";
import { encode } from "#contracts/codec.ts";
import { shardOf } from "#contracts/ids.ts";
import { actorsBucket, routeOf, turnSubject } from "#contracts/subjects.ts";
import { CONVERSATION, RECORD_VERSION, type TurnRecord } from "#contracts/turn.ts";
import { NO_USAGE } from "#contracts/usage.ts";
import { encodeRecord, ProcessedIds } from "#runtime/actor/record.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import type { Deployment } from "#runtime/nats/topology.ts";
import { randomFrom, textOf } from "./shape.ts";

export const RECORD_BYTES = 1_024;

const TENANTS = 20;
const QUESTION_BYTES = 120;
/** Texts differ, so that nothing is smaller than it would be. */
const TEXTS = 64;
/** One in so many is acknowledged: the store then has all before it. */
const ACKED_EVERY = 64;
const ACKS_IN_FLIGHT = 48;
const SAID_EVERY = 250_000;

export const sessionOf = (n: number): { tenant: string; session: string } => ({
  tenant: `tenant-${n % TENANTS}`,
  session: `s${n}`,
});

export async function storeConversations(
  bus: Bus,
  deployment: Deployment,
  {
    count,
    pastTurns,
    seed,
    say,
  }: { count: number; pastTurns: number; seed: number; say: (line: string) => void },
): Promise<void> {
  const random = randomFrom(seed);
  const replies = replyTexts(deployment, random);
  const questions = Array.from({ length: TEXTS }, () => textOf(QUESTION_BYTES, random));
  const text = (n: number): Texts => ({
    question: questions[n % TEXTS] ?? "",
    reply: replies[n % TEXTS] ?? "",
  });
  const places = new Places(deployment.shards);
  for (let turn = 1; turn <= pastTurns; turn++) {
    say(`turn ${turn} of ${pastTurns} of all conversations`);
    await appendAll(bus, deployment, count, (n) => {
      const { tenant, session } = sessionOf(n);
      const shard = shardOf(
        routeOf({ kind: CONVERSATION, tenant, key: session }).partition,
        deployment.shards,
      );
      places.next(shard, n);
      return { subject: turnSubject(shard, "web", tenant, session), data: turnOf(n, turn, text(n + turn)) };
    });
  }
  let said = 0;
  await appendAll(bus, deployment, count, (n) => {
    const { tenant, session } = sessionOf(n);
    const { path, partition } = routeOf({ kind: CONVERSATION, tenant, key: session });
    const subject = `$KV.${actorsBucket(shardOf(partition, deployment.shards))}.${path}`;
    if (++said % SAID_EVERY === 0) say(`${said} of ${count} conversations stored`);
    return { subject, data: recordOf(deployment, n, text(n), { turn: pastTurns + 1, seqs: places.of(n) }) };
  });
}

interface Texts {
  readonly question: string;
  readonly reply: string;
}

/** Where the first turns lie: nobody else writes, so what is sent in order is numbered in order. */
class Places {
  readonly #last: number[];
  readonly #of = new Map<number, number[]>();

  constructor(shards: number) {
    this.#last = new Array<number>(shards).fill(0);
  }

  next(shard: number, conversation: number): void {
    const seq = (this.#last[shard] ?? 0) + 1;
    this.#last[shard] = seq;
    this.#of.set(conversation, [...this.of(conversation), seq]);
  }

  of(conversation: number): readonly number[] {
    return this.#of.get(conversation) ?? [];
  }
}

async function appendAll(
  bus: Bus,
  { shards }: Deployment,
  count: number,
  next: (n: number) => { subject: string; data: Uint8Array },
): Promise<void> {
  const acks = new Set<Promise<unknown>>();
  for (let n = 0; n < count; n++) {
    const { subject, data } = next(n);
    if (n % ACKED_EVERY > 0 && n < count - shards * ACKED_EVERY) {
      bus.publish(subject, data);
      continue;
    }
    const ack = bus.append(subject, data).finally(() => acks.delete(ack));
    acks.add(ack);
    if (acks.size >= ACKS_IN_FLIGHT) await Promise.race(acks);
  }
  await Promise.all(acks);
}

const at = (n: number): number => 1_790_000_000_000 + n;

const pastOf = (n: number, turn: number, { question, reply }: Texts) => ({
  turn,
  messages: [{ id: `m${n}-${turn}`, text: question, at: at(n) }],
  reply,
  citations: [],
  model: "echo",
  cached: false,
  outcome: "answered" as const,
  at: at(n) + 800,
});

function turnOf(n: number, turn: number, texts: Texts): Uint8Array {
  const { tenant, session } = sessionOf(n);
  return encode({
    ...pastOf(n, turn, texts),
    v: RECORD_VERSION,
    type: "turn",
    id: `${n}-${turn}`,
    tenant,
    session,
    channel: "web",
    assistant: "bench",
    usage: NO_USAGE,
    attempts: 1,
    startedAt: at(n),
  } satisfies TurnRecord);
}

/** Replies as long as makes the whole record its size. */
function replyTexts(deployment: Deployment, random: () => number): string[] {
  const question = textOf(QUESTION_BYTES, random);
  const without = recordOf(deployment, 100_000, { question, reply: "" }, { turn: 1 }).length;
  return Array.from({ length: TEXTS }, () => textOf(RECORD_BYTES - without, random));
}

function recordOf(
  { shards }: Deployment,
  n: number,
  texts: Texts,
  { turn, seqs = [] }: { readonly turn: number; readonly seqs?: readonly number[] },
): Uint8Array {
  const { tenant, session } = sessionOf(n);
  const state = {
    ...initialState(),
    turn,
    assistant: "bench",
    channel: "web",
    locale: "en",
    tier: "default",
    createdAt: at(n),
    history: [pastOf(n, turn, texts)],
  };
  const { path, partition } = routeOf({ kind: CONVERSATION, tenant, key: session });
  return encodeRecord({
    op: `writer.${n.toString(36)}`,
    state,
    stored: { ...storeState(state), ...(seqs.length === 0 ? {} : { from: seqs[0], places: { turn, seqs } }) },
    stateVersion: STATE_VERSION,
    processed: new ProcessedIds(),
    newlyProcessed: [`m${n}-${turn}`],
    // Published long ago, and still in the record: only the next commit takes it out.
    outbox: [
      {
        id: `${path}.${n}.0`,
        k: "append",
        subject: turnSubject(shardOf(partition, shards), "web", tenant, session),
        data: encode({ turn }),
      },
    ],
    seq: n + 1,
    timers: {},
    attempts: {},
    givenUp: [],
    floor: 0,
  });
}
