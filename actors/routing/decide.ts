/**
 * Which pool and model serve a turn. Pure: the same features, policy and signals give the same decision. Strategies
 * speak in the configured order; each sees what the ones before it chose. Whatever they say, the pool is a configured
 * one, and a conversation whose tier still exists gets a pool of that tier.
 */
import type { RoutingStrategy } from "#contracts/config.ts";
import type { RouteDecision } from "#contracts/turn.ts";
import type { Policy } from "./policy.ts";
import type { RouteFeatures, Signals } from "./port.ts";
import { type Choice, mayServe, type Situation, type Strategy } from "./situation.ts";
import { assistant } from "./strategies/assistant.ts";
import { first } from "./strategies/first.ts";
import { health } from "./strategies/health.ts";
import { keep } from "./strategies/keep.ts";
import { level } from "./strategies/level.ts";
import { rules } from "./strategies/rules.ts";

const STRATEGIES: Readonly<Record<RoutingStrategy, Strategy>> = {
  keep,
  assistant,
  rules,
  level,
  health,
  first,
};

/** What one strategy said and what was chosen after it. */
export interface Step {
  readonly strategy: RoutingStrategy;
  readonly says: string;
  /** It changed or confirmed the choice, or explains why it could not. */
  readonly counted: boolean;
  readonly pool: string | undefined;
  readonly model: string | undefined;
}

export interface Explanation {
  readonly decision: RouteDecision;
  readonly steps: readonly Step[];
}

export const decide = (features: RouteFeatures, policy: Policy, signals: Signals): RouteDecision =>
  explain(features, policy, signals).decision;

export function explain(features: RouteFeatures, policy: Policy, signals: Signals): Explanation {
  const ofTier = policy.pools.filter(({ tier }) => tier === features.tier);
  const kept = ofTier.length > 0;
  const situation = { features, policy, signals, kept, allowed: kept ? ofTier : policy.pools };
  const steps: Step[] = [];
  let choice: Choice | undefined;
  const hear = (strategy: RoutingStrategy): Choice | undefined => {
    const seen: Situation = { ...situation, choice };
    const verdict = STRATEGIES[strategy](seen);
    // The tier is held here and not by the strategies, so that no order of them and none to come can break it.
    const accepted = verdict.choice && mayServe(seen, verdict.choice.pool) ? verdict.choice : undefined;
    const now = accepted ?? choice;
    steps.push({
      strategy,
      says: verdict.says,
      counted: accepted !== undefined || verdict.notable === true,
      pool: now?.pool.name,
      model: now?.model,
    });
    return now;
  };
  for (const strategy of policy.order) choice = hear(strategy);
  // An order that leaves `first` out still ends with a decision.
  choice ??= hear("first");
  if (!choice) throw new Error("the strategy `first` always chooses");
  return { decision: decisionOf(choice, steps), steps };
}

function decisionOf({ pool, model }: Choice, steps: readonly Step[]): RouteDecision {
  const reasons = steps.filter(({ counted }) => counted).map(({ says }) => says);
  return { pool: pool.name, tier: pool.tier, ...(model === undefined ? {} : { model }), reasons };
}
