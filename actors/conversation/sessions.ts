/** The conversations of a deployment as an operator sees them: a page at a time, without their texts. */

import { decode } from "#contracts/codec.ts";
import { JetclawError } from "#contracts/errors.ts";
import { tokenOf } from "#contracts/ids.ts";
import {
  actorsBucket,
  bucketStream,
  bucketSubject,
  turnsStream,
  turnsTenantFilter,
} from "#contracts/subjects.ts";
import type { FeedbackRecord, TurnRecord } from "#contracts/turn.ts";
import { CONVERSATION } from "#contracts/turn.ts";
import { decodeRecord } from "#runtime/actor/record.ts";
import { lastMessage, messagesFrom, type StoredMessage } from "#runtime/nats/reader.ts";
import type { PastTurns } from "./past-turns.ts";
import type { SessionLine, SessionPage, SessionQuery } from "./port.ts";
import { upgradeState } from "./stored.ts";
import type { ConversationState } from "./turn.ts";

const READ_AT_ONCE = 64;
const LINES = 100;

/** @throws JetclawError `request.invalid` for a `from` that no page gave, `nats.unavailable` */
export async function listSessions(
  { bus, deployment }: PastTurns,
  { tenant, from, limit = LINES }: SessionQuery,
): Promise<SessionPage> {
  const sessions: SessionLine[] = [];
  let [shard, seq] = positionOf(from);
  for (; shard < deployment.shards; shard++, seq = 1) {
    const bucket = actorsBucket(shard);
    const filter = bucketSubject(bucket, `${CONVERSATION}.${tenant === undefined ? "*" : tokenOf(tenant)}.*`);
    for (;;) {
      const page = await messagesFrom(bus, bucketStream(bucket), filter, seq, READ_AT_ONCE);
      for (const message of page) {
        if (sessions.length === limit) return { sessions, next: `${shard}.${message.seq}` };
        seq = message.seq + 1;
        if (message.data.length > 0) sessions.push(await lineOf(bus, shard, message));
      }
      if (page.length < READ_AT_ONCE) break;
    }
  }
  return { sessions };
}

function positionOf(from: string | undefined): [number, number] {
  if (from === undefined) return [0, 1];
  const match = /^(\d{1,3})\.(\d{1,15})$/.exec(from);
  if (!match) throw new JetclawError("request.invalid", "from: the `next` of a page");
  return [Number(match[1]), Number(match[2])];
}

async function lineOf(
  bus: PastTurns["bus"],
  shard: number,
  { subject, data }: StoredMessage,
): Promise<SessionLine> {
  const record = decodeRecord(data);
  const state = upgradeState(record.state, record.stateVersion) as ConversationState;
  const [tenantToken = "", sessionToken = ""] = subject.split(".").slice(-2);
  const { tenant, session } = await idsOf(bus, shard, tenantToken, sessionToken);
  return {
    tenant,
    session,
    status:
      state.erasedAt !== undefined
        ? "erased"
        : state.open
          ? "answering"
          : state.pending.length > 0
            ? "collecting"
            : "idle",
    turns: state.turn,
    channel: state.channel,
    createdAt: state.erasedAt ?? state.createdAt,
    bytes: data.length,
  };
}

/** An id that is no plain token stands in its records only; where there are none the token has to do. */
async function idsOf(
  bus: PastTurns["bus"],
  shard: number,
  tenant: string,
  session: string,
): Promise<{ tenant: string; session: string }> {
  if (!tenant.startsWith("=") && !session.startsWith("=")) return { tenant, session };
  // Tokens stay what they are: each is a plain id or, beginning with =, no id at all.
  const filter = turnsTenantFilter(shard, { token: tenant }).replace(/\*$/, session);
  const last = await lastMessage(bus, turnsStream(shard), filter);
  return last ? decode<TurnRecord | FeedbackRecord>(last.data) : { tenant, session };
}
