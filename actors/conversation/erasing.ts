/**
 * Erasing a conversation. Everything of it is found by subject and purged after the commit; what stays is the tombstone
 * (the record, with the turn counter and the date) and a receipt, written when the purges are through.
 */
import { shardOf } from "#contracts/ids.ts";
import { LIMITS } from "#contracts/limits.ts";
import {
  actorsBucket,
  BUCKETS,
  bucketStream,
  bucketSubject,
  DEADLETTER,
  deadLetterFilter,
  deliveryKey,
  idsSubject,
  inboundStream,
  inferSessionFilter,
  inferStream,
  keptKey,
  receiptSubject,
  routeOf,
  TOKENS,
  timerFilter,
  tokensSessionFilter,
  turnSessionFilter,
  turnsStream,
} from "#contracts/subjects.ts";
import type { EraseReceipt } from "#contracts/turn.ts";
import type { SystemActor } from "#runtime/actor/define.ts";
import { type ConversationState, eraseState } from "./turn.ts";

type ConversationActor = SystemActor<ConversationState>;

export interface ErasedReply {
  readonly existed: boolean;
  readonly receipt?: EraseReceipt;
}

export function erase(actor: ConversationActor, shards: number, pools: readonly string[]): void {
  const { state, tenant, key, now } = actor;
  const existed = state.createdAt !== 0;
  const route = routeOf(actor);
  const shard = shardOf(route.partition, shards);
  // A worker that runs one of its jobs was told by the control subject; what it still says is purged when its result comes.
  for (const pool of pools) actor.purge(inferStream(pool), inferSessionFilter(pool, tenant, key));
  actor.purge(turnsStream(shard), turnSessionFilter(shard, tenant, key));
  actor.purge(turnsStream(shard), idsSubject(shard, tenant, key));
  const records = actorsBucket(shard);
  actor.purge(bucketStream(records), bucketSubject(records, keptKey(route)));
  actor.purge(TOKENS, tokensSessionFilter(tenant, key));
  actor.purge(inboundStream(shard), timerFilter(route));
  // What could not be processed is kept whole, its text too.
  actor.purge(DEADLETTER, deadLetterFilter(actor));
  actor.purge(bucketStream(BUCKETS.deliveries), bucketSubject(BUCKETS.deliveries, deliveries(tenant, key)));
  actor.forget();
  actor.state = existed ? eraseState(state, now) : { ...state, erasedAt: state.erasedAt ?? now };
  if (!existed) return actor.reply({ existed } satisfies ErasedReply);
  const receipt: Omit<EraseReceipt, "id"> = { v: 1, tenant, session: key, turns: state.turn, at: now };
  // An append waits for the purges before it: a receipt that is there says that they are through.
  const id = actor.append(receiptSubject(tenant, key), (id) => ({ ...receipt, id }));
  actor.reply({ existed, receipt: { ...receipt, id } } satisfies ErasedReply);
}

const deliveries = (tenant: string, session: string): string =>
  deliveryKey(tenant, session, "x").replace(/x$/, "*");

/** How long the record of an erased conversation is kept: nothing that could bring it back lives longer. */
export function tombstoneMs({ erasedAt }: ConversationState, now: number): number | undefined {
  return erasedAt === undefined ? undefined : Math.max(1_000, erasedAt + LIMITS.tombstoneAgeMs - now);
}
