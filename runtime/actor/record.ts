/**
 * The record of an actor as KV holds it: state, processed ids and outbox in one value, written by one compare-and-set.
 */
import { decode, encode } from "#contracts/codec.ts";
import { JetclawError } from "#contracts/errors.ts";
import { LIMITS } from "#contracts/limits.ts";

export const ACTOR_RECORD_VERSION = 1;

/** An effect as it is stored: everything that publishing it again needs, the body encoded. */
export interface StoredEffect {
  /** Stable: `<path>.<revision before the commit>.<n>`. */
  readonly id: string;
  readonly k: "append" | "emit" | "purge" | "schedule";
  /** Subject, or for `purge` the filter. */
  readonly subject: string;
  readonly data?: Uint8Array;
  /** `purge`: the stream. */
  readonly stream?: string;
  /** `purge`: nothing at or behind this sequence is meant; set before the effect is written. */
  before?: number;
  /** `schedule`: when and to which subject. */
  readonly at?: number;
  readonly target?: string;
}

/** A begun handling that did not succeed. */
export interface Tried {
  /** Ms since the epoch. */
  readonly at: number;
  /** Instance of the host. */
  readonly host: string;
  /** Absent where the host did not live to say. */
  readonly error?: string;
}

export interface ActorRecord {
  state: unknown;
  stateVersion: number;
  /** Exact ids of the last processed messages, oldest first. */
  processed: ProcessedIds;
  /** Effects not yet confirmed. */
  outbox: readonly StoredEffect[];
  /** INBOUND sequence of the last message this outbox belongs to. */
  seq: number;
  /** Pending timers and the generation each was scheduled under. */
  timers: Readonly<Record<string, number>>;
  /** When and where suspect messages were begun. */
  attempts: Readonly<Record<string, readonly Tried[]>>;
  /** Ids of messages that were given up and not redriven since, oldest first. */
  givenUp: readonly string[];
  /** INBOUND sequence up to which nothing is handled any more: the actor was erased there. */
  floor: number;
}

interface Stored {
  v: number;
  sv: number;
  op: string;
  s: unknown;
  ids: string;
  ob: readonly StoredEffect[];
  seq: number;
  /** Pairs: as a map's key the codec would not give `__proto__` back. */
  tm?: [string, number][];
  /** Attempts by id: time and host of each. */
  tr?: [string, [number, string][]][];
  gu?: string;
  fl?: number;
}

/** A ring of exact ids: membership in O(1), the oldest forgotten first. */
export class ProcessedIds {
  readonly #ids: string[];
  readonly #set: Set<string>;

  constructor(ids: readonly string[] = []) {
    this.#ids = ids.slice(-LIMITS.processedIds);
    this.#set = new Set(this.#ids);
  }

  /** Oldest first. */
  get ids(): readonly string[] {
    return this.#ids;
  }

  /** The newest of them alone. */
  last(count: number): ProcessedIds {
    return new ProcessedIds(this.#ids.slice(Math.max(0, this.#ids.length - count)));
  }

  has(id: string): boolean {
    return this.#set.has(id);
  }

  /** What is added again is the newest again. */
  add(id: string): void {
    if (this.#set.has(id)) this.#ids.splice(this.#ids.indexOf(id), 1);
    this.#ids.push(id);
    this.#set.add(id);
    if (this.#ids.length > LIMITS.processedIds) this.#set.delete(this.#ids.shift() as string);
  }

  /** Ids hold no line breaks, so one joined string is the cheapest encoding. */
  join(extra: readonly string[]): string {
    const again = extra.some((id) => this.#set.has(id));
    const old = again ? this.#ids.filter((id) => !extra.includes(id)) : this.#ids;
    const over = Math.max(0, old.length + extra.length - LIMITS.processedIds);
    const kept = over > 0 ? old.slice(over) : old;
    return extra.length === 0
      ? kept.join("\n")
      : `${kept.join("\n")}${kept.length > 0 ? "\n" : ""}${extra.join("\n")}`;
  }

  static split(joined: string): ProcessedIds {
    return new ProcessedIds(joined === "" ? [] : joined.split("\n"));
  }
}

export interface NextRecord {
  readonly op: string;
  readonly state: unknown;
  /** What is written for the state, where that is not the state itself. */
  readonly stored?: unknown;
  readonly stateVersion: number;
  readonly processed: ProcessedIds;
  readonly newlyProcessed: readonly string[];
  readonly outbox: readonly StoredEffect[];
  readonly seq: number;
  readonly timers: Readonly<Record<string, number>>;
  readonly attempts: Readonly<Record<string, readonly Tried[]>>;
  readonly givenUp: readonly string[];
  readonly floor: number;
  /** After which the record goes away by itself; absent: never. */
  readonly ttlMs?: number | undefined;
}

/** @throws JetclawError `actor.state-too-large` */
export function encodeRecord(next: NextRecord, mostBytes: number = LIMITS.stateBytes): Uint8Array {
  const bytes = encode({
    v: ACTOR_RECORD_VERSION,
    sv: next.stateVersion,
    op: next.op,
    s: next.stored ?? next.state,
    ids: next.processed.join(next.newlyProcessed),
    ob: next.outbox,
    seq: next.seq,
    ...(hasKeys(next.timers) ? { tm: Object.entries(next.timers) } : {}),
    ...(hasKeys(next.attempts) ? { tr: triedOf(next.attempts) } : {}),
    ...(next.givenUp.length > 0 ? { gu: next.givenUp.join("\n") } : {}),
    ...(next.floor > 0 ? { fl: next.floor } : {}),
  } satisfies Stored);
  if (bytes.length > mostBytes)
    throw new JetclawError(
      "actor.state-too-large",
      `${bytes.length} bytes, at most ${LIMITS.stateBytes} (LIMITS.stateBytes)`,
    );
  return bytes;
}

const triedOf = (attempts: NextRecord["attempts"]): Stored["tr"] =>
  Object.entries(attempts).map(([id, tried]) => [id, tried.map(({ at, host }) => [at, host])]);

const attemptsOf = ({ tr = [] }: Stored): ActorRecord["attempts"] =>
  Object.fromEntries(tr.map(([id, tried]) => [id, tried.map(([at, host]) => ({ at, host }))]));

export function decodeRecord(bytes: Uint8Array): ActorRecord & { op: string } {
  const stored = decode<Stored>(bytes);
  if (stored.v > ACTOR_RECORD_VERSION)
    throw new JetclawError("actor.state-newer", `record version ${stored.v}`);
  return {
    op: stored.op,
    state: stored.s,
    stateVersion: stored.sv,
    processed: ProcessedIds.split(stored.ids),
    outbox: stored.ob,
    seq: stored.seq,
    timers: Object.fromEntries(stored.tm ?? []),
    attempts: attemptsOf(stored),
    givenUp: stored.gu ? stored.gu.split("\n") : [],
    floor: stored.fl ?? 0,
  };
}

function hasKeys(record: object): boolean {
  for (const _ in record) return true;
  return false;
}
