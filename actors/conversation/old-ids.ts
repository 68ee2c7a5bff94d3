/**
 * Ids that an actor remembers no more. Before it forgets them they are written down beside the turns, so many at a time
 * that it costs a turn next to nothing, and read once an activation: whether a message is an old repeat is then
 * looked up in memory, and only a true repeat reads the turns around its own.
 */
import { createHash } from "node:crypto";
import { decode } from "#contracts/codec.ts";
import { shardOf } from "#contracts/ids.ts";
import { LIMITS } from "#contracts/limits.ts";
import { idsSubject, routeOf, turnsStream } from "#contracts/subjects.ts";
import { CONVERSATION, type IdsRecord, type TurnRecord } from "#contracts/turn.ts";
import type { SystemActor } from "#runtime/actor/define.ts";
import { everyMessage } from "#runtime/nats/reader.ts";
import { findTurnOf, type PastTurns } from "./past-turns.ts";
import type { ConversationState, OldIds } from "./turn.ts";

type ConversationActor = SystemActor<ConversationState>;

const ID_BYTES = 6;
const PAGE = 256;

export class IdsIndex {
  readonly #past: PastTurns;

  constructor(past: PastTurns) {
    this.#past = past;
  }

  /** The record of the turn that answered a message whose id is forgotten; undefined for a new message. */
  async turnOf(actor: ConversationActor, message: string): Promise<TurnRecord | undefined> {
    const { state, tenant, key } = actor;
    // Sessions of a time before ids were written down have nothing to look in but their turns.
    if (state.unindexed === undefined)
      return actor.forgets ? findTurnOf(this.#past, tenant, key, message) : undefined;
    const chunks = await this.#chunksOf(actor);
    const place = placeOf(chunks, message);
    return place === undefined ? undefined : findTurnOf(this.#past, tenant, key, message, place);
  }

  /** Counts messages that are being handled and will be remembered; writes ids down when it is time. */
  count(actor: ConversationActor, messages: number): void {
    if (messages === 0 || actor.state.createdAt === 0) return;
    const { unindexed } = actor.state;
    const count = (unindexed ?? actor.rememberedIds().length) + messages;
    if (count >= LIMITS.indexedIds) {
      this.write(actor, messages);
      // The record is written twice a turn: it holds what may come again at once and no more.
      actor.forgetIds(LIMITS.burstMessages);
    } else if (unindexed !== undefined) actor.state = { ...actor.state, unindexed: count };
  }

  /** Writes down all ids that are remembered, which are those before the messages being handled. */
  write(actor: ConversationActor, unindexed: number): void {
    const { tenant, key } = actor;
    const shard = shardOf(routeOf(actor).partition, this.#past.deployment.shards);
    const ids = actor.rememberedIds().map(shortOf);
    const { oldIds } = actor.state;
    actor.append(
      idsSubject(shard, tenant, key),
      (): IdsRecord => ({ v: 1, type: "ids", ids: pack(ids) }),
      (seq) => void oldIds?.push({ seq, ids }),
    );
    actor.state = { ...actor.state, unindexed };
  }

  async #chunksOf(actor: ConversationActor): Promise<readonly OldIds[]> {
    if (actor.state.oldIds) return actor.state.oldIds;
    const chunks = await readOldIds(this.#past, actor.tenant, actor.key);
    actor.state = { ...actor.state, oldIds: chunks };
    return chunks;
  }
}

/** What was written down of a session's ids, the oldest first. */
export async function readOldIds(
  { bus, deployment: { shards, replicas } }: PastTurns,
  tenant: string,
  key: string,
): Promise<OldIds[]> {
  const shard = shardOf(routeOf({ kind: CONVERSATION, tenant, key }).partition, shards);
  const chunks: OldIds[] = [];
  // A chunk that a replica does not have yet would make new messages of old ones.
  for await (const { data, seq } of everyMessage(bus, turnsStream(shard), idsSubject(shard, tenant, key), {
    batch: PAGE,
    replicas,
  }))
    chunks.push({ seq, ids: unpack(decode<IdsRecord>(data).ids) });
  return chunks;
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
