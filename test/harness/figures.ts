// The figures of a run, read from its history: how much was done, how long it took, what was done more than once.
import type { Verdict } from "./checker.ts";
import { type HistoryEvent, nameOf } from "./history.ts";

/** A fault as the schedule caused it; `affected` tells which sessions lost their host by it. */
export interface Fault {
  readonly at: number;
  readonly what: string;
  readonly affected?: (tenant: string, session: string) => boolean;
}

export interface Figures {
  readonly sent: number;
  readonly unknown: number;
  readonly turns: number;
  readonly lost: number;
  readonly doubled: number;
  readonly reordered: number;
  readonly committedWithoutEffect: number;
  /** Publications of an effect beyond the first, and deliveries beyond the first of a turn's record. */
  readonly duplicateEffects: number;
  readonly duplicateRecords: number;
  /** Results seen beyond the first of their job: of a second run, or sent again where the acknowledgement was lost. */
  readonly jobsRunTwice: number;
  /** Whole answers on the provider's bill beyond the first of their job; 0 where no provider was simulated. */
  readonly paidTwice: number;
  /** Turns that ended otherwise than answered. */
  readonly apologies: number;
  /** Longest time in which nothing was answered while somebody waited. */
  readonly longestGapMs: number;
  /** The same, of the sessions of one shard: what the loss of one stream's leader costs. */
  readonly longestShardGapMs: number;
  readonly answerP50Ms: number;
  readonly answerP99Ms: number;
  /** From a fault to the answer, over the messages that waited then or came shortly after, of sessions it hit. */
  readonly takeoverP50Ms: number;
  readonly takeoverP99Ms: number;
}

/** How long after a fault a message still counts as hit by it. */
const AFTERMATH_MS = 3_000;

interface Message {
  readonly tenant: string;
  readonly session: string;
  readonly sentAt: number;
  answeredAt?: number;
}

export function figuresOf(
  events: readonly HistoryEvent[],
  verdict: Verdict,
  faults: readonly Fault[],
  shardOf: (tenant: string, session: string) => number = () => 0,
): Figures {
  const messages = new Map<string, Message>();
  const turns = new Set<string>();
  const published = new Map<string, number>();
  const records = new Map<string, number>();
  const results = new Map<string, number>();
  const billed = new Map<string, number>();
  let [sent, unknown, apologies] = [0, 0, 0];
  const acked = new Set<string>();
  for (const event of events) {
    if (event.type === "invoke") {
      const key = `${nameOf(event)}/${event.message}`;
      if (!messages.has(key))
        messages.set(key, { tenant: event.tenant, session: event.session, sentAt: event.at });
    } else if (event.type === "ok") {
      const key = `${nameOf(event)}/${event.message}`;
      if (!acked.has(key)) sent++;
      acked.add(key);
    } else if (event.type === "unknown") unknown++;
    else if (event.type === "effect" && !event.stored) count(published, event.id);
    else if (event.type === "result") count(results, `${nameOf(event)}/${event.job}`);
    else if (event.type === "billed") count(billed, event.job);
    else if (event.type === "record") {
      const turn = `${nameOf(event)}/${event.turn}`;
      if (!turns.has(turn) && event.outcome !== "answered") apologies++;
      turns.add(turn);
      count(records, `${turn}/${event.delivery}`);
      for (const { id } of event.messages) {
        const message = messages.get(`${nameOf(event)}/${id}`);
        if (message) message.answeredAt ??= event.at;
      }
    }
  }
  const answered = [...messages.values()].filter(
    (m): m is Message & { answeredAt: number } => m.answeredAt !== undefined,
  );
  const latencies = sorted(answered.map((m) => m.answeredAt - m.sentAt));
  const takeovers = sorted(faults.flatMap((fault) => recoveries(answered, fault)));
  const { counts } = verdict;
  return {
    sent,
    unknown,
    turns: turns.size,
    lost: counts.lost + counts.undelivered,
    doubled: counts.doubled + counts.deliveredTwice,
    reordered: counts.reordered,
    committedWithoutEffect: counts.effectMissing,
    duplicateEffects: beyondFirst(published),
    duplicateRecords: beyondFirst(records),
    jobsRunTwice: beyondFirst(results),
    paidTwice: beyondFirst(billed),
    apologies,
    longestGapMs: longestGap(answered),
    longestShardGapMs: Math.max(0, ...byShard(answered, shardOf).map(longestGap)),
    answerP50Ms: quantile(latencies, 0.5),
    answerP99Ms: quantile(latencies, 0.99),
    takeoverP50Ms: quantile(takeovers, 0.5),
    takeoverP99Ms: quantile(takeovers, 0.99),
  };
}

function recoveries(
  answered: readonly (Message & { answeredAt: number })[],
  { at, affected }: Fault,
): number[] {
  if (!affected) return [];
  return answered
    .filter((m) => m.answeredAt > at && m.sentAt < at + AFTERMATH_MS && affected(m.tenant, m.session))
    .map((m) => m.answeredAt - Math.max(at, m.sentAt));
}

function byShard<M extends Message>(
  messages: readonly M[],
  shardOf: (t: string, s: string) => number,
): M[][] {
  const shards = new Map<number, M[]>();
  for (const message of messages) {
    const shard = shardOf(message.tenant, message.session);
    const known = shards.get(shard);
    if (known) known.push(message);
    else shards.set(shard, [message]);
  }
  return [...shards.values()];
}

/** Sweeps over the times at which messages came and were answered; a gap counts only while somebody waits. */
function longestGap(answered: readonly { readonly sentAt: number; readonly answeredAt: number }[]): number {
  const moments = answered
    .flatMap((m) => [
      { at: m.sentAt, waiting: 1 },
      { at: m.answeredAt, waiting: -1 },
    ])
    .sort((a, b) => a.at - b.at);
  let [waiting, since, longest] = [0, 0, 0];
  for (const moment of moments) {
    if (moment.waiting > 0 && waiting === 0) since = moment.at;
    if (moment.waiting < 0) {
      longest = Math.max(longest, moment.at - since);
      since = moment.at;
    }
    waiting += moment.waiting;
  }
  return longest;
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function beyondFirst(counts: ReadonlyMap<string, number>): number {
  let sum = 0;
  for (const n of counts.values()) sum += n - 1;
  return sum;
}

function sorted(values: readonly number[]): number[] {
  return [...values].sort((a, b) => a - b);
}

export function quantile(ascending: readonly number[], q: number): number {
  return ascending[Math.min(ascending.length - 1, Math.floor(ascending.length * q))] ?? 0;
}
