/** Conversations written straight into the store, in the form in which their actor leaves them after a turn. */
import { STATE_VERSION, storeState } from "#actors/conversation/stored.ts";
import { initialState } from "#actors/conversation/turn.ts";
import { encode } from "#contracts/codec.ts";
import { shardOf } from "#contracts/ids.ts";
import { actorsBucket, routeOf, turnSubject } from "#contracts/subjects.ts";
import { CONVERSATION } from "#contracts/turn.ts";
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
  { count, seed, say }: { count: number; seed: number; say: (line: string) => void },
): Promise<void> {
  const random = randomFrom(seed);
  const replies = replyTexts(deployment, random);
  const questions = Array.from({ length: TEXTS }, () => textOf(QUESTION_BYTES, random));
  const acks = new Set<Promise<unknown>>();
  for (let n = 0; n < count; n++) {
    const { tenant, session } = sessionOf(n);
    const { path, partition } = routeOf({ kind: CONVERSATION, tenant, key: session });
    const subject = `$KV.${actorsBucket(shardOf(partition, deployment.shards))}.${path}`;
    const data = recordOf(deployment, n, questions[n % TEXTS] ?? "", replies[n % TEXTS] ?? "");
    if ((n + 1) % SAID_EVERY === 0) say(`${n + 1} of ${count} conversations stored`);
    if (n % ACKED_EVERY > 0 && n < count - deployment.shards * ACKED_EVERY) {
      bus.publish(subject, data);
      continue;
    }
    const ack = bus.append(subject, data).finally(() => acks.delete(ack));
    acks.add(ack);
    if (acks.size >= ACKS_IN_FLIGHT) await Promise.race(acks);
  }
  await Promise.all(acks);
}

/** Replies as long as makes the whole record its size. */
function replyTexts(deployment: Deployment, random: () => number): string[] {
  const without = recordOf(deployment, 100_000, textOf(QUESTION_BYTES, random), "").length;
  return Array.from({ length: TEXTS }, () => textOf(RECORD_BYTES - without, random));
}

function recordOf({ shards }: Deployment, n: number, question: string, reply: string): Uint8Array {
  const { tenant, session } = sessionOf(n);
  const at = 1_790_000_000_000 + n;
  const state = {
    ...initialState(),
    turn: 1,
    assistant: "bench",
    channel: "web",
    locale: "en",
    tier: "default",
    createdAt: at,
    history: [
      {
        turn: 1,
        messages: [{ id: `m${n}`, text: question, at }],
        reply,
        citations: [],
        model: "echo",
        cached: false,
        outcome: "answered" as const,
        at: at + 800,
      },
    ],
  };
  const { path, partition } = routeOf({ kind: CONVERSATION, tenant, key: session });
  return encodeRecord({
    op: `writer.${n.toString(36)}`,
    state,
    stored: storeState(state),
    stateVersion: STATE_VERSION,
    processed: new ProcessedIds(),
    newlyProcessed: [`m${n}`],
    // Published long ago, and still in the record: only the next commit takes it out.
    outbox: [
      {
        id: `${path}.${n}.0`,
        k: "append",
        subject: turnSubject(shardOf(partition, shards), "web", tenant, session),
        data: encode({ turn: 1 }),
      },
    ],
    seq: n + 1,
    timers: {},
    attempts: {},
    givenUp: [],
    floor: 0,
  });
}
