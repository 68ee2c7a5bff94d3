/** Which pool and model serve a turn, with the reasons. */
import type { Level } from "#contracts/level.ts";
import type { BREAKER_STATES } from "#contracts/load.ts";
import type { PriorityClass } from "#contracts/subjects.ts";
import type { RouteDecision } from "#contracts/turn.ts";

export interface RouteFeatures {
  readonly tenant: string;
  readonly assistant: string;
  /** The assistant's `model`: a pool, a model of any pool, or "auto". */
  readonly policy: string;
  readonly question: string;
  readonly locale: string;
  readonly channel: string;
  readonly cls: PriorityClass;
  /** Tier the conversation already has; undefined in its first turn. */
  readonly tier?: string | undefined;
  /** Model that served the conversation last; undefined before the first answer. */
  readonly model?: string | undefined;
}

/** How one model of a pool does, over all workers that serve it. */
export interface ModelSignal {
  readonly breaker: (typeof BREAKER_STATES)[number];
  /** Median time to the first token, ms; 0 where nothing was measured. */
  readonly firstTokenMs: number;
}

/** What a decision knows of the deployment's present state. Read, never waited for. */
export interface Signals {
  readonly level: Level;
  /** Undefined: nothing is known, and the model counts as healthy. */
  health(pool: string, model: string): ModelSignal | undefined;
}

export interface Router {
  route(features: RouteFeatures): RouteDecision;
}
