/** The turn that a message got, read from TURNS: for repeats that are older than what an actor remembers by id. */
import { decode } from "#contracts/codec.ts";
import { shardOf } from "#contracts/ids.ts";
import { routeOf, turnSessionFilter, turnsStream } from "#contracts/subjects.ts";
import { CONVERSATION, type FeedbackRecord, type TurnRecord } from "#contracts/turn.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { messagesFrom } from "#runtime/nats/reader.ts";
import type { Deployment } from "#runtime/nats/topology.ts";

const PAGE = 256;

/** The record of the turn that answered a message; undefined when none did. Reads the session from its beginning. */
export async function findTurnOf(
  bus: Bus,
  deployment: Pick<Deployment, "shards">,
  tenant: string,
  session: string,
  message: string,
): Promise<TurnRecord | undefined> {
  const route = routeOf({ kind: CONVERSATION, tenant, key: session });
  const shard = shardOf(route.partition, deployment.shards);
  const filter = turnSessionFilter(shard, tenant, session);
  for (let seq = 1; ; ) {
    const page = await messagesFrom(bus, turnsStream(shard), filter, seq, PAGE);
    for (const { data } of page) {
      const record = decode<TurnRecord | FeedbackRecord>(data);
      if (record.type === "turn" && record.messages.some(({ id }) => id === message)) return record;
    }
    if (page.length < PAGE) return undefined;
    seq = (page[page.length - 1]?.seq ?? 0) + 1;
  }
}
