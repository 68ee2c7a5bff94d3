/** Which pool and model serve a turn, with the reasons. */
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
}

export interface Router {
  route(features: RouteFeatures): RouteDecision;
}
