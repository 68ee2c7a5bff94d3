/** The router that conversations ask: `decide` over the configuration, with what is known of the deployment now. */
import type { Config } from "#contracts/config.ts";
import type { RouteDecision } from "#contracts/turn.ts";
import { decide } from "./decide.ts";
import { type Policy, policyOf } from "./policy.ts";
import type { RouteFeatures, Router, Signals } from "./port.ts";

/** Level 0, and nobody has complained about a model. */
export const NO_SIGNALS: Signals = { level: 0, health: () => undefined };

export class PolicyRouter implements Router {
  readonly #policy: Policy;
  readonly #signals: Signals;

  /** @throws JetclawError `config.invalid` without a pool */
  constructor(config: Pick<Config, "pools" | "routing">, signals: Signals = NO_SIGNALS) {
    this.#policy = policyOf(config);
    this.#signals = signals;
  }

  route(features: RouteFeatures): RouteDecision {
    return decide(features, this.#policy, this.#signals);
  }
}
