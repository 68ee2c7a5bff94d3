/** The closed turns of a session, read from TURNS: for transcripts, at an activation, and for old repeats. */
import { decode } from "#contracts/codec.ts";
import { shardOf } from "#contracts/ids.ts";
import { actorsBucket, routeOf, turnSessionFilter, turnsStream } from "#contracts/subjects.ts";
import { CONVERSATION, type FeedbackRecord, type TurnRecord } from "#contracts/turn.ts";
import { readKept } from "#runtime/actor/kept.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { Kv } from "#runtime/nats/kv.ts";
import { everyMessage, messageAt } from "#runtime/nats/reader.ts";
import type { Deployment } from "#runtime/nats/topology.ts";
import { keptTurns, type StoredState } from "./stored.ts";
import type { PastTurn } from "./turn.ts";

const PAGE = 256;

/** What is told again of a closed turn outranks whatever was streamed of it. */
export const REPEATED_ATTEMPT = 999_999;

/** Where a session's records lie. */
export interface PastTurns {
  readonly bus: Bus;
  readonly deployment: Pick<Deployment, "shards" | "replicas">;
}

export interface PlacedRecord {
  readonly record: TurnRecord | FeedbackRecord;
  readonly seq: number;
}

/** A session's records in order, from a sequence of its stream on. */
export async function* records(
  { bus, deployment }: PastTurns,
  tenant: string,
  session: string,
  from = 1,
): AsyncGenerator<PlacedRecord> {
  const route = routeOf({ kind: CONVERSATION, tenant, key: session });
  const shard = shardOf(route.partition, deployment.shards);
  const filter = turnSessionFilter(shard, tenant, session);
  const { replicas } = deployment;
  for await (const { data, seq } of everyMessage(bus, turnsStream(shard), filter, {
    from,
    batch: PAGE,
    replicas,
  }))
    yield { record: decode(data), seq };
}

/**
 * The last closed turns of a session, each with its place. Those that were not kept beside the record are read by their
 * places, a block of the store for each; by subject the server would read every block between the first of them and the
 * last, which may be days.
 */
export async function lastTurns(
  past: PastTurns,
  tenant: string,
  session: string,
  { turn: last, places }: Pick<StoredState, "turn" | "places">,
  kept: () => Promise<unknown>,
): Promise<{ turn: PastTurn; seq: number }[]> {
  if (places?.turn !== last || places.seqs.length === 0) return [];
  const copies = keptTurns(await kept());
  const turnAt = async (seq: number): Promise<{ turn: PastTurn; seq: number }[]> => {
    const turn = copies.get(seq) ?? (await turnOfRecordAt(past, tenant, session, seq));
    // A retention may have ended meanwhile.
    return turn ? [{ turn, seq }] : [];
  };
  return (await Promise.all(places.seqs.map(turnAt))).flat();
}

async function turnOfRecordAt(
  { bus, deployment: { shards, replicas } }: PastTurns,
  tenant: string,
  session: string,
  seq: number,
): Promise<PastTurn | undefined> {
  const stream = turnsStream(
    shardOf(routeOf({ kind: CONVERSATION, tenant, key: session }).partition, shards),
  );
  // A follower may be behind; a single replica is its own leader, and a direct read costs both sides a fraction.
  const message = await (replicas === 1 ? bus.directAt(stream, seq) : messageAt(bus, stream, seq));
  if (!message) return undefined;
  const record = decode<PlacedRecord["record"]>(message.data);
  // A stream that was made anew counts from one again.
  return record.type === "turn" && record.tenant === tenant && record.session === session
    ? pastOf(record)
    : undefined;
}

/** What was kept beside the record of a session. @throws JetclawError `nats.unavailable` */
export async function keptOf(
  { bus, deployment }: PastTurns,
  tenant: string,
  session: string,
): Promise<unknown> {
  const route = routeOf({ kind: CONVERSATION, tenant, key: session });
  const kv = new Kv(bus, actorsBucket(shardOf(route.partition, deployment.shards)));
  return (await readKept(kv, route))?.data;
}

/** The record of the turn that answered a message, from a sequence on; undefined when none did. */
export async function findTurnOf(
  past: PastTurns,
  tenant: string,
  session: string,
  message: string,
  from = 1,
): Promise<TurnRecord | undefined> {
  for await (const { record } of records(past, tenant, session, from))
    if (record.type === "turn" && record.messages.some(({ id }) => id === message)) return record;
  return undefined;
}

/** A record as the turns after it remember it. */
export const pastOf = (record: TurnRecord): PastTurn => ({
  turn: record.turn,
  messages: record.messages,
  reply: record.reply,
  citations: record.citations,
  model: record.model,
  cached: record.cached,
  outcome: record.outcome,
  at: record.at,
});
