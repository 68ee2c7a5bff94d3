/** How many workers a pool should have. Pure: the drain time and what is held go in, a number comes out. */

export interface ScalePolicy {
  readonly min: number;
  readonly max: number;
  /** Drain time that is aimed at. */
  readonly targetMs: number;
  /** How long the load must be low before one worker is taken away. */
  readonly holdMs: number;
  /** How long new workers are waited for before more are added. */
  readonly warmMs: number;
}

export const SCALE_DEFAULTS = { targetMs: 2_000, holdMs: 30_000, warmMs: 5_000 } as const;

export interface ScaleReading {
  /** `scaleValue` of the pool. */
  readonly drainMs: number;
  readonly inFlight: number;
  /** Jobs that all live workers of the pool may hold; 0 where none was heard. */
  readonly slots: number;
}

export interface ScaleState {
  readonly workers: number;
  /** When the number last changed. */
  readonly changedAt: number;
  /** Since when fewer would do; absent while they would not. */
  readonly idleSince?: number | undefined;
}

/** Below this share of the target the queue counts as empty. */
const LOW_SHARE = 0.25;
/** Fewer workers must not be fuller than this. */
const BUSY_SHARE = 0.7;

/** Up by the ratio of drain to target, at most twofold at once; down by one after a quiet while. */
export function nextWorkers(
  state: ScaleState,
  { drainMs, inFlight, slots }: ScaleReading,
  now: number,
  policy: ScalePolicy,
): ScaleState {
  const { workers } = state;
  const change = (wanted: number): ScaleState => {
    const bounded = Math.min(policy.max, Math.max(policy.min, wanted));
    return bounded === workers
      ? { workers, changedAt: state.changedAt }
      : { workers: bounded, changedAt: now };
  };
  if (workers < policy.min || workers > policy.max) return change(workers);
  if (drainMs > policy.targetMs) {
    if (now - state.changedAt < policy.warmMs) return { workers, changedAt: state.changedAt };
    return change(
      Math.min(workers * 2, Math.max(workers + 1, Math.ceil((workers * drainMs) / policy.targetMs))),
    );
  }
  const fewer = (slots * (workers - 1)) / Math.max(1, workers);
  const quiet = drainMs < policy.targetMs * LOW_SHARE && inFlight <= fewer * BUSY_SHARE;
  if (!quiet || workers === policy.min) return { workers, changedAt: state.changedAt };
  const idleSince = state.idleSince ?? now;
  if (now - Math.max(idleSince, state.changedAt) < policy.holdMs) return { ...state, idleSince };
  return change(workers - 1);
}
