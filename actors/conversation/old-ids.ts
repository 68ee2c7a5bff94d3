/**
 * Ids that an actor remembers no more. Before it forgets them they are written down beside the turns, so many at a time
 * that it costs a turn next to nothing, and read once an activation: whether a message is an old repeat is then
 * looked up in memory, and only a true repeat reads the turns around its own. Records lie as far apart as what was said,
 * and reading costs a block of the store for each, so a record repeats those before it: up to `MERGED_IDS` all of them,
 * then those that are no larger than itself. Ten thousand messages are three records or four.
 */
import { createHash } from "node:crypto";
import { decode } from "#contracts/codec.ts";
import { shardOf } from "#contracts/ids.ts";
import { LIMITS } from "#contracts/limits.ts";
import { idsSubject, routeOf, turnsStream } from "#contracts/subjects.ts";
import { CONVERSATION, type IdsRecord, type TurnRecord } from "#contracts/turn.ts";
import type { SystemActor } from "#runtime/actor/define.ts";
import { everyMessage, messageAt } from "#runtime/nats/reader.ts";
import { findTurnOf, type PastTurns } from "./past-turns.ts";
import type { ConversationState, OldIds } from "./turn.ts";

type ConversationActor = SystemActor<ConversationState>;

const ID_BYTES = 6;
const PAGE = 256;
/** So many a record repeats whatever is before it. */
const MERGED_IDS = 1_024;
const MOST_IDS = 65_536;

export class IdsIndex {
  readonly #past: PastTurns;

  constructor(past: PastTurns) {
    this.#past = past;
  }

  /** The record of the turn that answered a message whose id is forgotten; undefined for a new message. */
  async turnOf(actor: ConversationActor, message: string): Promise<TurnRecord | undefined> {
    if (actor.state.unindexed === undefined) return undefined;
    const place = placeOf(await this.#chunksOf(actor), message);
    return place === undefined ? undefined : findTurnOf(this.#past, actor.tenant, actor.key, message, place);
  }

  /** Counts messages that are being handled and will be remembered; writes ids down when it is time. */
  async count(actor: ConversationActor, messages: number): Promise<void> {
    if (messages === 0 || actor.state.createdAt === 0) return;
    const { unindexed } = actor.state;
    const count = (unindexed ?? actor.rememberedIds().length) + messages;
    if (count >= LIMITS.indexedIds) {
      await this.write(actor, messages);
      // The record is written twice a turn: it holds what may come again at once and no more.
      actor.forgetIds(LIMITS.burstMessages);
    } else if (unindexed !== undefined) actor.state = { ...actor.state, unindexed: count };
  }

  /** Writes down all ids that are remembered, which are those before the messages being handled. */
  async write(actor: ConversationActor, unindexed: number): Promise<void> {
    const { tenant, key } = actor;
    const shard = shardOf(routeOf(actor).partition, this.#past.deployment.shards);
    const chunks = await this.#chunksOf(actor);
    const chunk: OldIds = { seq: 0, record: 0, ids: actor.rememberedIds().map(shortOf) };
    const from = firstRepeated(chunks, chunk.ids.length);
    const repeated = chunks.slice(from);
    const record: IdsRecord = {
      v: 1,
      type: "ids",
      ids: pack([...repeated, chunk].flatMap(({ ids }) => ids)),
      parts: repeated.map(({ seq, ids }) => [seq, ids.length]),
      before: [...new Set(chunks.slice(0, from).map((each) => each.record))],
    };
    actor.append(
      idsSubject(shard, tenant, key),
      () => record,
      (seq) => {
        chunk.seq = seq;
        for (const each of [...repeated, chunk]) each.record = seq;
      },
    );
    actor.state = { ...actor.state, unindexed, oldIds: [...chunks, chunk] };
  }

  async #chunksOf(actor: ConversationActor): Promise<readonly OldIds[]> {
    const { oldIds, unindexed, idsAt } = actor.state;
    if (oldIds) return oldIds;
    const { tenant, key } = actor;
    const chunks = unindexed === undefined ? [] : await readOldIds(this.#past, tenant, key, idsAt);
    actor.state = { ...actor.state, oldIds: chunks };
    return chunks;
  }
}

/** Where those begin that a record of so many new ids repeats. */
function firstRepeated(chunks: readonly OldIds[], ids: number): number {
  let from = chunks.length;
  for (let merged = ids; from > 0; ) {
    const { record } = chunks[from - 1] as OldIds;
    const first = chunks.findIndex((chunk) => chunk.record === record);
    const size = chunks.slice(first, from).reduce((sum, chunk) => sum + chunk.ids.length, 0);
    if ((size >= MERGED_IDS && size > merged) || merged + size > MOST_IDS) break;
    merged += size;
    from = first;
  }
  return from;
}

/**
 * What was written down of a session's ids, the oldest first. Where the place of the last record is not known all of them
 * are looked for, which reads the stream between the first and the last.
 */
export async function readOldIds(
  { bus, deployment: { shards, replicas } }: PastTurns,
  tenant: string,
  key: string,
  last?: number,
): Promise<OldIds[]> {
  const shard = shardOf(routeOf({ kind: CONVERSATION, tenant, key }).partition, shards);
  const stream = turnsStream(shard);
  const subject = idsSubject(shard, tenant, key);
  // From the leader: a chunk that a replica does not have yet would make new messages of old ones.
  const at = async (seq: number): Promise<Placed | undefined> => {
    const message = await messageAt(bus, stream, seq);
    // Purged when its retention ended, or of a stream that was made anew and counts from one again.
    return message?.subject === subject ? { seq, record: decode<IdsRecord>(message.data) } : undefined;
  };
  const newest = last === undefined ? undefined : await at(last);
  if (newest) {
    const older = await Promise.all(newest.record.before.map(at));
    return chunksIn([...older.filter((each) => each !== undefined), newest]);
  }
  const all: Placed[] = [];
  for await (const { data, seq } of everyMessage(bus, stream, subject, { batch: PAGE, replicas }))
    all.push({ seq, record: decode<IdsRecord>(data) });
  return chunksIn(all);
}

interface Placed {
  readonly seq: number;
  readonly record: IdsRecord;
}

/** Each once, as the last record has it that repeats it. */
function chunksIn(records: readonly Placed[]): OldIds[] {
  const chunks = new Map<number, OldIds>();
  for (const { seq: record, record: content } of records) {
    const ids = unpack(content.ids);
    let from = 0;
    for (const [seq, count] of content.parts) {
      chunks.set(seq, { seq, record, ids: ids.slice(from, from + count) });
      from += count;
    }
    chunks.set(record, { seq: record, record, ids: ids.slice(from) });
  }
  return [...chunks.values()].sort((a, b) => a.seq - b.seq);
}

/** The place in TURNS behind which the turn of a message lies whose id was written down; undefined where it was not. */
export function placeOf(chunks: readonly OldIds[], message: string): number | undefined {
  const id = shortOf(message);
  const found = chunks.findIndex(({ ids }) => ids.includes(id));
  // Named here for the first time: its turn was closed after the chunk before was written.
  return found < 0 ? undefined : (chunks[found - 1]?.seq ?? 1);
}

/** The first 6 bytes of an id's SHA-256: a number that is exact in JavaScript, and no two ids of a session share it. */
const shortOf = (id: string): number => createHash("sha256").update(id).digest().readUIntBE(0, ID_BYTES);

function pack(ids: readonly number[]): Uint8Array {
  const bytes = Buffer.alloc(ids.length * ID_BYTES);
  for (const [n, id] of ids.entries()) bytes.writeUIntBE(id, n * ID_BYTES, ID_BYTES);
  return bytes;
}

function unpack(bytes: Uint8Array): number[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length / ID_BYTES }, (_, n) => buffer.readUIntBE(n * ID_BYTES, ID_BYTES));
}
