/** What other rooms see of the governor: the level in force, and what an operator may ask and change. */
import type { Level } from "#contracts/level.ts";
import type { Drain, LevelOverride, LevelRecord } from "#contracts/load.ts";

export interface LevelReader {
  /** The level in force now, from memory. */
  level(): Level;
}

export interface LevelStatus {
  readonly level: Level;
  readonly reason: string;
  /** Since when; 0 where the level was never changed. */
  readonly at: number;
  readonly manual: boolean;
  /** Instance of the governor, or who holds the override. */
  readonly by: string;
  readonly override: LevelOverride | null;
  /** The newest first. */
  readonly history: readonly LevelRecord[];
}

/** What waits in a pool, as autoscalers ask for it. */
export interface DrainReport {
  readonly pool: string;
  /** Drain time in ms; what nobody waits for counts a tenth. */
  readonly value: number;
  /** Jobs that workers hold. */
  readonly inFlight: number;
  readonly waiting: number;
  /** When it was measured, ms since the epoch. */
  readonly at: number;
  readonly classes: readonly Drain[];
}

export interface LoadAdmin {
  /** @throws JetclawError `nats.unavailable` */
  status(): Promise<LevelStatus>;
  /** null: the governor decides again. @throws JetclawError `nats.unavailable` */
  override(level: Level | null, reason: string, by: string): Promise<LevelOverride>;
  /** @throws JetclawError `load.unknown` when no governor was heard lately, `pool.not-found` when it knows no such pool */
  drain(pool: string): DrainReport;
}
