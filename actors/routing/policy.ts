/** The configuration as decisions read it: looked up by name, keywords cut into words once. */
import {
  type Config,
  ROUTING_STRATEGIES,
  type RoutingRule,
  type RoutingStrategy,
} from "#contracts/config.ts";
import { JetclawError } from "#contracts/errors.ts";
import { Keywords } from "./keywords.ts";

export interface PoolView {
  readonly name: string;
  readonly tier: string;
  readonly models: readonly string[];
  readonly fallback: readonly string[];
  readonly degradeTo: string | undefined;
}

export interface Rule {
  /** Its name, or its number from 1. */
  readonly label: string;
  readonly when: RoutingRule["when"];
  readonly keywords: Keywords | undefined;
  readonly pool: PoolView;
}

export interface Policy {
  /** In the order of the configuration; never empty. */
  readonly pools: readonly PoolView[];
  readonly byName: ReadonlyMap<string, PoolView>;
  readonly rules: readonly Rule[];
  readonly order: readonly RoutingStrategy[];
}

/** @throws JetclawError `config.invalid` without a pool, or for a rule whose pool there is not */
export function policyOf(config: Pick<Config, "pools" | "routing">): Policy {
  const pools = Object.entries(config.pools).map(
    ([name, { tier, models, fallback, degradeTo }]): PoolView => ({
      name,
      tier: tier ?? name,
      models: models.map((model) => model.name),
      fallback,
      degradeTo,
    }),
  );
  if (pools.length === 0) throw new JetclawError("config.invalid", "pools: at least one pool is needed");
  const byName = new Map(pools.map((pool) => [pool.name, pool]));
  const rules = (config.routing?.rules ?? []).map((rule, n): Rule => {
    const pool = byName.get(rule.pool);
    if (!pool)
      throw new JetclawError("config.invalid", `routing.rules[${n}].pool: there is no pool "${rule.pool}"`);
    const { keywords } = rule.when;
    return {
      label: rule.name ? `"${rule.name}"` : String(n + 1),
      when: rule.when,
      keywords: keywords && new Keywords(keywords),
      pool,
    };
  });
  return { pools, byName, rules, order: config.routing?.order ?? ROUTING_STRATEGIES };
}
