/**
 * Bringing exported turns back. They go through their conversation's actor: it alone knows whether the session was erased
 * since, and which of them are still there.
 */
import { encode } from "#contracts/codec.ts";
import { JetclawError } from "#contracts/errors.ts";
import { DAY_MS, LIMITS } from "#contracts/limits.ts";
import type { ActorAddress } from "#contracts/subjects.ts";
import { CONVERSATION, type TurnRecord } from "#contracts/turn.ts";
import { askActor } from "#runtime/actor/client.ts";
import type { SystemActor } from "#runtime/actor/define.ts";
import type { Clock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { type ArchivedRecord, type Part, readManifest, readPart } from "./archive.ts";
import type { ArchiveStore } from "./archive-store.ts";
import { recordSubject } from "./closing.ts";
import { type PastTurns, pastOf, records } from "./past-turns.ts";
import { placeTurn } from "./stored.ts";
import { boundHistory, type ConversationState } from "./turn.ts";

/** What an actor did with the records it was given. */
export interface Restored {
  readonly restored: number;
  /** They are there already. */
  readonly present: number;
  /** They are from before an erase. */
  readonly erased: number;
}

/** What is said of a message that was given up. */
interface Refused {
  readonly error: string;
  readonly reference?: string;
}

export interface RestoreOptions {
  readonly tenant?: string | undefined;
  readonly session?: string | undefined;
  /** Days, `yyyy-mm-dd`, both inclusive. */
  readonly since?: string | undefined;
  readonly until?: string | undefined;
  /** Also what is older than the tombstone of anything erased since can be. */
  readonly force?: boolean | undefined;
  readonly onPart?: (part: Part) => void;
}

/** That a deployment can have. */
const MOST_SHARDS = 16;
/** What an actor is given at once, besides so many records: it fits a message, and the actor's outbox. */
const BYTES_AT_ONCE = LIMITS.envelopeBytes / 2;
const ANSWER_MS = 30_000;

/**
 * A conversation whose records its actor cannot take holds up no other.
 * @throws JetclawError `archive.unavailable`, `archive.damaged`, `archive.too-old`, `nats.unavailable`, and at the end
 * `actor.handler-failed` where there was one
 */
export async function restoreTurns(
  bus: Bus,
  clock: Clock,
  store: ArchiveStore,
  options: RestoreOptions,
): Promise<Restored> {
  const sum = { restored: 0, present: 0, erased: 0 };
  const parts = await partsOf(store, options);
  if (!options.force) assertErasesAreKnown(parts, clock.now());
  const refused: string[] = [];
  for (const part of parts) {
    for (const [to, lines] of bySession(await readPart(store, part), options))
      for (const records of batchesOf(lines)) {
        const done = await askActor<Restored | Refused>(bus, clock, to, "restore", { records }, ANSWER_MS);
        if ("error" in done) refused.push(`${to.tenant}/${to.key} (${done.reference ?? done.error})`);
        else for (const key of ["restored", "present", "erased"] as const) sum[key] += done[key];
      }
    options.onPart?.(part);
  }
  if (refused.length > 0)
    throw new JetclawError(
      "actor.handler-failed",
      `${refused.length} times records were not taken, first those of ${refused[0]}: jetclaw dead says why; the others are back`,
    );
  return sum;
}

const dayOf = ({ key }: Part): string => key.split("/").at(-2) as string;

async function partsOf(store: ArchiveStore, { tenant, since = "", until }: RestoreOptions): Promise<Part[]> {
  const parts: Part[] = [];
  // The archive may be of a deployment with more shards than this one has.
  for (let shard = 0; shard < MOST_SHARDS; shard++) {
    parts.push(...(await readManifest(store, shard)).parts);
    if (tenant !== undefined) parts.push(...(await readManifest(store, shard, tenant)).parts);
  }
  if (parts.length === 0)
    throw new JetclawError(
      "archive.unavailable",
      tenant === undefined
        ? "nothing was exported there; what was exported by tenant is found with its --tenant"
        : "nothing was exported there",
    );
  return parts.filter((part) => dayOf(part) >= since && (until === undefined || dayOf(part) <= until));
}

/** Whoever was erased after a turn of these days has a tombstone that may be gone by now: the actor could not tell. */
function assertErasesAreKnown(parts: readonly Part[], now: number): void {
  const firstAt = Math.ceil((now - LIMITS.tombstoneAgeMs) / DAY_MS) * DAY_MS;
  const first = new Date(firstAt).toISOString().slice(0, 10);
  const tooOld = parts.map(dayOf).filter((day) => day < first);
  if (tooOld.length === 0) return;
  const days = LIMITS.tombstoneAgeMs / DAY_MS;
  throw new JetclawError(
    "archive.too-old",
    `${tooOld.length} parts are of days before ${first}, and who was erased is known for ${days} days: with --since ${first} they are left out`,
  );
}

function bySession(
  lines: readonly ArchivedRecord[],
  { tenant, session }: RestoreOptions,
): [ActorAddress, ArchivedRecord[]][] {
  const sessions = new Map<string, [ActorAddress, ArchivedRecord[]]>();
  for (const line of lines) {
    const { record } = line;
    if (tenant !== undefined && record.tenant !== tenant) continue;
    if (session !== undefined && record.session !== session) continue;
    const name = JSON.stringify([record.tenant, record.session]);
    const entry = sessions.get(name);
    if (entry) entry[1].push(line);
    else sessions.set(name, [{ kind: CONVERSATION, tenant: record.tenant, key: record.session }, [line]]);
  }
  return [...sessions.values()];
}

function batchesOf(lines: readonly ArchivedRecord[]): ArchivedRecord["record"][][] {
  const batches: ArchivedRecord["record"][][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const { record } of lines) {
    const more = encode(record).length;
    const last = batches.at(-1);
    if (last && last.length < LIMITS.restoredRecords && bytes + more <= BYTES_AT_ONCE) last.push(record);
    else batches.push([record]);
    bytes = batches.at(-1) === last ? bytes + more : more;
  }
  return batches;
}

/** The actor's part: puts back what is missing, unless the conversation was erased after it. */
export async function restore(
  actor: SystemActor<ConversationState>,
  past: PastTurns,
  given: readonly ArchivedRecord["record"][],
): Promise<void> {
  const { state } = actor;
  const { shards } = past.deployment;
  // A conversation that was erased and began anew is younger than what it said before. One that a restore began is not:
  // its older turns may come after the newer ones.
  const wanted = given.filter(
    ({ at }) => state.erasedAt === undefined && (state.restored || at >= state.createdAt),
  );
  const there = new Set<string>();
  for await (const { record } of records(past, actor.tenant, actor.key)) there.add(nameOf(record));
  const missing = wanted.filter((record) => !there.has(nameOf(record)));
  const history = new Map(state.history.map((turn) => [turn.turn, turn]));
  for (const record of missing) {
    const past = record.type === "turn" ? pastOf(record) : undefined;
    if (past) history.set(past.turn, past);
    actor.append(
      recordSubject(actor, shards, record.type === "turn" ? record.channel : state.channel),
      () => record,
      (seq) => past && placeTurn(past, seq),
    );
  }
  const turns = missing.flatMap((record): TurnRecord[] => (record.type === "turn" ? [record] : []));
  if (turns.length > 0)
    actor.state = {
      ...state,
      turn: Math.max(state.turn, ...turns.map(({ turn }) => turn)),
      createdAt: state.createdAt || Math.min(...turns.map(({ startedAt }) => startedAt)),
      ...(state.createdAt === 0 ? { restored: true } : {}),
      assistant: state.assistant ?? (turns.at(-1)?.assistant || undefined),
      // What was said before is known again, and not in the transcript alone.
      history: boundHistory([...history.values()].sort((a, b) => a.turn - b.turn)),
    };
  actor.reply({
    restored: missing.length,
    present: wanted.length - missing.length,
    erased: given.length - wanted.length,
  } satisfies Restored);
}

const nameOf = (record: ArchivedRecord["record"]): string =>
  record.type === "turn" ? `t${record.turn}` : `f${record.turn}.${record.at}`;
