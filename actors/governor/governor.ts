/**
 * Measures every pool, decides the level, writes it where it changed. One active by lease; the others stand by and
 * know nothing. A governor that was frozen finds its revision stale and starts over.
 */
import { decode, encode } from "#contracts/codec.ts";
import type { Level } from "#contracts/level.ts";
import {
  type Drain,
  LEVEL_HISTORY_KEY,
  LEVEL_KEY,
  LEVEL_OVERRIDE_KEY,
  type LevelOverride,
  type LevelRecord,
  type LoadReport,
} from "#contracts/load.ts";
import { BUCKETS, CORE } from "#contracts/subjects.ts";
import type { Clock } from "#runtime/clock.ts";
import { type Bus, StaleRevision } from "#runtime/nats/connect.ts";
import { Kv } from "#runtime/nats/kv.ts";
import type { Log } from "#runtime/observe/log.ts";
import { FailureStreak } from "#runtime/observe/streak.ts";
import { Lease } from "#runtime/placement/lease.ts";
import { DrainMeter } from "./drain.ts";
import { initialLevel, type LevelPolicy, type LevelState, nextLevel } from "./level.ts";
import { QueueReader } from "./reading.ts";

export const GOVERNOR_LEASE_KEY = "lease.governor";
const ROUND_MS = 500;
/** A standby takes over after this silence and one round. */
const LEASE_MS = 3_000;
/** Changes kept for the operator. */
const HISTORY = 64;

export interface GovernorOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly instance: string;
  readonly pools: readonly string[];
  readonly policy: LevelPolicy;
  readonly roundMs?: number | undefined;
  readonly leaseMs?: number | undefined;
}

/** What a queue was when it could be read last stands for so long: a stream is without a leader for up to twelve seconds. */
const UNREAD_MS = 15_000;

interface Measured {
  readonly reader: QueueReader;
  readonly meter: DrainMeter;
  at: number;
  drains: readonly Drain[];
}

/** What the active governor holds; a standby has none. */
interface Term {
  readonly begunAt: number;
  readonly meters: Map<string, Measured>;
  /** What the load alone would ask for, also while an operator holds the level. */
  auto: LevelState;
  /** Why `auto` is what it is. */
  autoReason: string;
  record: LevelRecord | undefined;
  revision: number;
}

export class Governor {
  readonly #options: GovernorOptions;
  readonly #lease: Lease;
  readonly #config: Kv;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #term: Term | undefined;
  #drains: readonly Drain[] = [];

  constructor(options: GovernorOptions) {
    const { bus, clock, instance: owner, leaseMs = LEASE_MS } = options;
    this.#options = options;
    this.#lease = new Lease({ bus, clock, owner, key: GOVERNOR_LEASE_KEY, leaseMs });
    this.#config = new Kv(bus, BUCKETS.config);
  }

  get active(): boolean {
    return this.#term !== undefined;
  }

  /** The level in force as this governor wrote or found it; 0 on a standby. */
  get level(): Level {
    return this.#term?.record?.level ?? 0;
  }

  /** What the last round measured; empty on a standby. */
  get drains(): readonly Drain[] {
    return this.#drains;
  }

  start(): void {
    const streak = new FailureStreak(this.#options.log, "governor: round");
    const round = (): void => {
      this.#running ??= this.#round()
        .then(
          () => streak.ended(),
          (err) => {
            if (!this.#options.bus.endsTogether) streak.failed(err);
          },
        )
        .finally(() => {
          this.#running = undefined;
        });
    };
    this.#timer = setInterval(round, this.#options.roundMs ?? ROUND_MS);
    round();
  }

  /** Gives the lease back: a standby takes over with its next round. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#running;
    this.#stepDown();
    await this.#lease
      .release()
      .catch((err) => this.#options.log.debug({ err }, "governor: lease not given back"));
  }

  async #round(): Promise<void> {
    const { bus, clock, instance, policy } = this.#options;
    if (!(await this.#lease.hold())) return this.#stepDown();
    this.#term ??= await this.#begin();
    const term = this.#term;
    this.#drains = await this.#measure(term);
    const now = clock.now();
    bus.publish(CORE.load, encode({ by: instance, at: now, drains: this.#drains } satisfies LoadReport));
    const { state, reason } = nextLevel(term.auto, this.#drains, now, policy);
    if (state.level >= term.auto.level || this.#knows(term)) {
      term.auto = state;
      if (reason) term.autoReason = reason;
    }
    const asked = (await this.#config.getFromLeader(LEVEL_OVERRIDE_KEY)).value;
    await this.#write(term, asked ? decode<LevelOverride>(asked) : undefined);
  }

  /** Who has just taken over has not read every queue: one that it cannot read may be why the level is what it is. */
  #knows({ meters, begunAt }: Term): boolean {
    const { clock, pools } = this.#options;
    return clock.now() - begunAt >= UNREAD_MS || pools.every((pool) => (meters.get(pool)?.at ?? 0) > 0);
  }

  #stepDown(): void {
    for (const { reader } of this.#term?.meters.values() ?? []) reader.close();
    this.#term = undefined;
    this.#drains = [];
  }

  /** Goes on from the level that is in force. */
  async #begin(): Promise<Term> {
    const { clock, log } = this.#options;
    const { record, revision } = await this.#stored();
    log.info({ level: record?.level ?? 0 }, "governing");
    // A level that an operator held says nothing of the load.
    const level = record && !record.manual ? record.level : 0;
    const begunAt = clock.now();
    const auto = initialLevel(begunAt, level);
    return { begunAt, meters: new Map(), auto, autoReason: record?.reason ?? "", record, revision };
  }

  async #stored(): Promise<Pick<Term, "record" | "revision">> {
    const { value, revision } = await this.#config.getFromLeader(LEVEL_KEY);
    return { record: value ? decode<LevelRecord>(value) : undefined, revision };
  }

  /** A pool that cannot be read is what it was, and after a while left out: no wait at all would lower the level. */
  async #measure({ meters }: Term): Promise<Drain[]> {
    const { bus, clock, log, pools } = this.#options;
    const measured = await Promise.all(
      pools.map(async (pool) => {
        try {
          const parts = meters.get(pool) ?? {
            reader: await QueueReader.open(bus, clock, pool),
            meter: new DrainMeter(pool),
            at: 0,
            drains: [],
          };
          meters.set(pool, parts);
          parts.drains = parts.meter.take(await parts.reader.read());
          parts.at = clock.now();
        } catch (err) {
          if (!bus.endsTogether) log.warn({ err, pool }, "governor: queue not read");
        }
        const { at, drains } = meters.get(pool) ?? { at: 0, drains: [] };
        return clock.now() - at < UNREAD_MS ? drains : [];
      }),
    );
    return measured.flat();
  }

  async #write(term: Term, override: LevelOverride | undefined): Promise<void> {
    const { clock, instance, log } = this.#options;
    const before = term.record;
    const held = override && override.level !== null ? { ...override, level: override.level } : undefined;
    const next = held
      ? { level: held.level, manual: true, reason: held.reason }
      : { level: term.auto.level, manual: false, reason: this.#autoReason(term, override) };
    const same =
      before?.level === next.level &&
      before.manual === next.manual &&
      (!held || before.reason === held.reason);
    if (same || (!before && next.level === 0 && !held)) return;
    const record: LevelRecord = { ...next, at: clock.now(), by: held?.by ?? instance };
    try {
      term.revision = await this.#config.update(LEVEL_KEY, encode(record), term.revision);
      term.record = record;
    } catch (error) {
      if (!(error instanceof StaleRevision)) throw error;
      // Another governor wrote: what it found holds, and the next round decides from there.
      return void Object.assign(term, await this.#stored());
    }
    log.warn({ ...record, from: before?.level ?? 0 }, "load level changed");
    await this.#remember(record);
  }

  /** The moment an operator lets go, the reason is the operator's. */
  #autoReason({ record, autoReason }: Term, override: LevelOverride | undefined): string {
    if (!record?.manual) return autoReason;
    return `released${override ? ` by ${override.by}: ${override.reason}` : ""}`;
  }

  async #remember(record: LevelRecord): Promise<void> {
    const { value, revision } = await this.#config.getFromLeader(LEVEL_HISTORY_KEY);
    const history = [...(value ? decode<LevelRecord[]>(value) : []), record].slice(-HISTORY);
    await this.#config.update(LEVEL_HISTORY_KEY, encode(history), revision);
  }
}
