/**
 * Which level the load asks for. Pure: drain times in, level and reason out.
 * Up: at once, to the level whose threshold is reached. Down: one level at a time, after `holdMs` below `lowerShare` of
 * that level's threshold. Between the two thresholds nothing moves.
 */
import type { Config } from "#contracts/config.ts";
import type { Level } from "#contracts/level.ts";
import type { Drain } from "#contracts/load.ts";

export interface LevelPolicy {
  /** Drain time of the class `new` from which level 1, 2, 3 begin. */
  readonly raiseMs: readonly [number, number, number];
  readonly lowerShare: number;
  readonly holdMs: number;
  /**
   * Pools that no new conversation reaches from level 1 on: they have a smaller pool and are nobody's smaller pool.
   * Their backlog is a reason for level 1 and for no more, since levels 2 and 3 could not relieve them.
   */
  readonly relieved: ReadonlySet<string>;
}

/** Reasons are in the README of this room. */
export const LEVEL_DEFAULTS = {
  raiseMs: [4_000, 8_000, 15_000],
  lowerShare: 0.5,
  holdMs: 3_000,
} as const;

export interface LevelState {
  readonly level: Level;
  /** When this level began. */
  readonly since: number;
  /** Since when the load is below this level's lower threshold; absent while it is not. */
  readonly calmSince?: number | undefined;
}

export interface LevelStep {
  readonly state: LevelState;
  /** Why the level changed; absent when it did not. */
  readonly reason?: string;
}

export const initialLevel = (now: number, level: Level = 0): LevelState => ({ level, since: now });

export function levelPolicyOf(config: Pick<Config, "governor" | "pools">): LevelPolicy {
  const { raiseMs, lowerShare, holdMs } = { ...LEVEL_DEFAULTS, ...config.governor };
  const smaller = new Set(Object.values(config.pools).map(({ degradeTo }) => degradeTo));
  const relieved = Object.entries(config.pools)
    .filter(([name, { degradeTo }]) => degradeTo !== undefined && degradeTo !== name && !smaller.has(name))
    .map(([name]) => name);
  return { raiseMs, lowerShare, holdMs, relieved: new Set(relieved) };
}

export function nextLevel(
  state: LevelState,
  drains: readonly Drain[],
  now: number,
  policy: LevelPolicy,
): LevelStep {
  const waits = drains.filter(({ cls }) => cls === "new");
  const worst = worstOf(waits);
  const unrelieved = worstOf(waits.filter(({ pool }) => !policy.relieved.has(pool)));
  const [first, second, third] = policy.raiseMs;
  const [wanted, cause]: [Level, Drain | undefined] =
    timeOf(unrelieved) >= third
      ? [3, unrelieved]
      : timeOf(unrelieved) >= second
        ? [2, unrelieved]
        : timeOf(worst) >= first
          ? [1, worst]
          : [0, undefined];
  if (wanted > state.level)
    return {
      state: { level: wanted, since: now },
      reason: `pool ${cause?.pool}: new conversations would wait ${seconds(timeOf(cause))}, threshold ${seconds(policy.raiseMs[wanted - 1] as number)}`,
    };
  return state.level === 0 ? { state } : lower(state, state.level > 1 ? unrelieved : worst, now, policy);
}

function lower(state: LevelState, worst: Drain | undefined, now: number, policy: LevelPolicy): LevelStep {
  const below = (policy.raiseMs[state.level - 1] as number) * policy.lowerShare;
  if (timeOf(worst) >= below) return { state: { level: state.level, since: state.since } };
  const calmSince = state.calmSince ?? now;
  if (now - Math.max(calmSince, state.since) < policy.holdMs) return { state: { ...state, calmSince } };
  return {
    state: { level: (state.level - 1) as Level, since: now },
    reason: `new conversations would wait ${seconds(timeOf(worst))}, below ${seconds(below)} for ${seconds(policy.holdMs)}`,
  };
}

const timeOf = (drain: Drain | undefined): number => drain?.drainMs ?? 0;

const worstOf = (drains: readonly Drain[]): Drain | undefined =>
  drains.reduce<Drain | undefined>((a, b) => (a && a.drainMs >= b.drainMs ? a : b), undefined);

const seconds = (ms: number): string => `${Math.round(ms / 100) / 10} s`;
