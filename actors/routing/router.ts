/** The first router: the assistant's policy names a pool or a model, "auto" the conversation's tier or the first pool. */
import type { Config } from "#contracts/config.ts";
import { JetclawError } from "#contracts/errors.ts";
import type { RouteDecision } from "#contracts/turn.ts";
import type { RouteFeatures, Router } from "./port.ts";

interface Pool {
  readonly name: string;
  readonly tier: string;
  readonly models: readonly string[];
}

export class PolicyRouter implements Router {
  readonly #pools: readonly Pool[];

  constructor(config: Pick<Config, "pools">) {
    this.#pools = Object.entries(config.pools).map(([name, pool]) => ({
      name,
      tier: pool.tier ?? name,
      models: pool.models.map((m) => m.name),
    }));
    if (this.#pools.length === 0)
      throw new JetclawError("config.invalid", "pools: at least one pool is needed");
  }

  route(features: RouteFeatures): RouteDecision {
    const kept = features.tier === undefined ? undefined : this.#pools.find((p) => p.tier === features.tier);
    if (kept)
      return { pool: kept.name, tier: kept.tier, reasons: [`the conversation keeps its tier ${kept.tier}`] };
    const named = this.#pools.find((p) => p.name === features.policy);
    if (named)
      return { pool: named.name, tier: named.tier, reasons: [`the assistant names pool ${named.name}`] };
    const holder = this.#pools.find((p) => p.models.includes(features.policy));
    if (holder)
      return {
        pool: holder.name,
        tier: holder.tier,
        model: features.policy,
        reasons: [`the assistant names model ${features.policy}`],
      };
    const first = this.#pools[0] as Pool;
    return { pool: first.name, tier: first.tier, reasons: ["auto: the first pool"] };
  }
}
