// Watches a cluster from outside into a history: the channel's records, the revisions of the state, and whatever is
// published on the subjects of effects. It reads what is stored and what passes by; it asks no member anything.
import { decode } from "#contracts/codec.ts";
import { decodeEnvelope } from "#contracts/envelope.ts";
import type { Job, JobResult } from "#contracts/job.ts";
import { actorsBucket, turnsFilter, turnsStream } from "#contracts/subjects.ts";
import { CONVERSATION, type FeedbackRecord, type TurnRecord } from "#contracts/turn.ts";
import { decodeRecord, type StoredEffect } from "#runtime/actor/record.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { follow } from "#runtime/nats/follow.ts";
import type { StoredMessage } from "#runtime/nats/reader.ts";
import type { Deployment } from "#runtime/nats/topology.ts";
import type { Published } from "./history.ts";
import type { Recorder } from "./recorder.ts";

export interface ObserverOptions {
  readonly bus: Bus;
  readonly deployment: Deployment;
  readonly recorder: Recorder;
  /** Reads the number of closed turns out of a conversation's state. */
  readonly closedOf: (state: unknown) => number;
  /** Kinds of effects that this observer surely sees; where the server dies, only what a stream keeps. */
  readonly effects?: readonly Published["what"][];
}

export const ALL_EFFECTS = ["record", "job", "message", "timer"] as const;

/** Resolves when everything that was stored before has been seen. */
export async function observe(options: ObserverOptions): Promise<{ stop(): Promise<void> }> {
  const { bus, deployment } = options;
  const subjects = ["turn.>", "infer.>", "in.>", "sched.>"];
  const passing = subjects.map((subject) =>
    bus.subscribe(subject, (m) => seePassing(options, m.subject, m.data)),
  );
  const shards = Array.from({ length: deployment.shards }, (_, s) => s);
  const readers = await Promise.all(
    shards.flatMap((s) => [
      follow(bus, {
        stream: turnsStream(s),
        filter: turnsFilter(s),
        from: "all",
        onMessage: (m) => seeRecord(options, m),
      }),
      follow(bus, {
        stream: `KV_${actorsBucket(s)}`,
        filter: `$KV.${actorsBucket(s)}.${CONVERSATION}.*.*`,
        from: "all",
        onMessage: (m) => seeState(options, m),
      }),
    ]),
  );
  return {
    async stop() {
      for (const subscription of passing) subscription.stop();
      await Promise.all(readers.map((reader) => reader.stop()));
    },
  };
}

/** Answered is a turn when its record is stored, whenever this follower hears of it, whose own server may be the one that died. */
function seeRecord({ recorder }: ObserverOptions, { data, at }: StoredMessage): void {
  const record = decode<TurnRecord | FeedbackRecord>(data);
  if (record.type !== "turn") return;
  const { id, tenant, session, turn, messages, reply, outcome } = record;
  recorder.add({ type: "effect", id, what: "record", at, stored: true });
  recorder.addRecord({ type: "record", delivery: id, tenant, session, turn, messages, reply, outcome, at });
}

function seeState(options: ObserverOptions, { subject, data, seq }: StoredMessage): void {
  // An erased key leaves a marker without a body.
  if (data.length === 0) return;
  const [, , , tenant, session] = subject.split(".") as [string, string, string, string, string];
  const record = decodeRecord(data);
  options.recorder.addCommit({
    type: "commit",
    tenant,
    session,
    revision: seq,
    closed: options.closedOf(record.state),
    effects: record.outbox.flatMap((effect) => promiseOf(effect, options.effects ?? ALL_EFFECTS)),
    at: Date.now(),
  });
}

/** Only effects that are stored somewhere can be demanded; core publishes are at most once by design. */
function promiseOf({ k, subject, data }: StoredEffect, kinds: readonly Published["what"][]): string[] {
  if ((k !== "append" && k !== "schedule") || data === undefined) return [];
  const effect = effectOf(subject, data);
  return effect && kinds.includes(effect.what) ? [effect.id] : [];
}

/** What a published message is as an effect, read from the message itself. */
function effectOf(subject: string, data: Uint8Array): Pick<Published, "id" | "what"> | undefined {
  if (subject.startsWith("turn.")) return { id: decode<{ id: string }>(data).id, what: "record" };
  if (subject.startsWith("infer.")) return { id: decode<Job>(data).id, what: "job" };
  if (subject.startsWith("in.")) return { id: decodeEnvelope(data).id, what: "message" };
  if (subject.startsWith("sched.")) return { id: decodeEnvelope(data).id, what: "timer" };
  return undefined;
}

function seePassing({ recorder }: ObserverOptions, subject: string, data: Uint8Array): void {
  const at = Date.now();
  if (subject.startsWith("in.")) {
    const { type, tenant, key: session, body, id } = decodeEnvelope(data);
    if (type === "user") return;
    recorder.add({ type: "effect", id, what: "message", at });
    if (type !== "result") return;
    const { job, turn, attempt } = body as JobResult;
    recorder.add({ type: "result", tenant, session, job, turn, attempt, at });
    return;
  }
  const effect = effectOf(subject, data);
  if (effect?.id) recorder.add({ type: "effect", ...effect, at });
  if (effect?.what !== "job") return;
  const { id, tenant, session, turn, messages, question } = decode<Job>(data);
  const shown = [...messages.map((m) => m.content), question].join("\n");
  recorder.add({ type: "job", job: id, tenant, session, turn, shown, at });
}
