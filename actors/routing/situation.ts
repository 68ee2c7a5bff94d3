/** What a strategy sees and says. A strategy is a pure function; `decide.ts` runs them in order. */

import type { Policy, PoolView } from "./policy.ts";
import type { ModelSignal, RouteFeatures, Signals } from "./port.ts";

/** What is chosen so far. Without a model, the worker takes any model of the pool that has room. */
export interface Choice {
  readonly pool: PoolView;
  readonly model?: string | undefined;
}

export interface Situation {
  readonly features: RouteFeatures;
  readonly policy: Policy;
  readonly signals: Signals;
  /** Pools that may serve this turn: those of the conversation's tier, or all of them. Never empty. */
  readonly allowed: readonly PoolView[];
  /** True where the conversation has a tier that is still configured. */
  readonly kept: boolean;
  readonly choice: Choice | undefined;
}

export interface Verdict {
  /** What the strategy found, a phrase for whoever asks why. */
  readonly says: string;
  /** Replaces the choice so far. */
  readonly choice?: Choice;
  /** True for what belongs into the reasons although it changed nothing. */
  readonly notable?: boolean;
}

export type Strategy = (situation: Situation) => Verdict;

export const mayServe = ({ allowed }: Situation, pool: PoolView): boolean => allowed.includes(pool);

/** The choice so far, or what there will be if nobody chooses: strategies that only correct need one. */
export const presentChoice = ({ choice, allowed }: Situation): Choice =>
  choice ?? { pool: allowed[0] as PoolView };

export const signalOf = ({ signals }: Situation, pool: PoolView, model: string): ModelSignal | undefined =>
  signals.health(pool.name, model);

export const isOpen = (situation: Situation, pool: PoolView, model: string): boolean =>
  signalOf(situation, pool, model)?.breaker === "open";

/** Nobody in this pool can answer now. */
export const isDown = (situation: Situation, pool: PoolView): boolean =>
  pool.models.every((model) => isOpen(situation, pool, model));

/** The same model where the other pool has it, else any. */
export const moved = (choice: Choice, pool: PoolView): Choice =>
  choice.model !== undefined && pool.models.includes(choice.model) ? { pool, model: choice.model } : { pool };
