/**
 * What load levels mean for a turn. Only a conversation that no model has answered yet is degraded; one that has its
 * tier goes on as before at every level. Level 1, the smaller pool, is the router's part.
 */
import type { Citation } from "#contracts/content.ts";
import type { Passage } from "#contracts/job.ts";
import type { Level } from "#contracts/level.ts";
import type { PriorityClass } from "#contracts/subjects.ts";
import type { RouteDecision } from "#contracts/turn.ts";
import { NO_USAGE } from "#contracts/usage.ts";
import type { Closing } from "./closing.ts";
import { phrase } from "./phrases.ts";
import { type ConversationState, emptyEnding } from "./turn.ts";

/** Answers from passages alone, without a model. */
export type Extract = (
  question: string,
  passages: readonly Passage[],
  locale: string,
) => { readonly text: string; readonly citations: readonly Citation[] };

export type Treatment = "normal" | "extract" | "refuse";

/** No model has a part in it yet, and we did not begin it ourselves. */
export const isNew = ({ tier, history }: Pick<ConversationState, "tier" | "history">): boolean =>
  tier === undefined && !history.some(({ outcome }) => outcome === "said");

/** At level 3 who has had extracts keeps getting them: a conversation that has begun is never refused for load. */
export function treatmentOf(
  level: Level,
  cls: PriorityClass,
  state: Pick<ConversationState, "tier" | "history">,
): Treatment {
  if (level < 2 || cls !== "new" || !isNew(state)) return "normal";
  const begun = state.history.some(({ outcome }) => outcome === "answered");
  return level === 3 && !begun ? "refuse" : "extract";
}

/** Every record says at which level it was made. */
export function withLevel(route: RouteDecision, level: Level): RouteDecision {
  const said = `load level ${level}`;
  if (level === 0 || route.reasons.some((reason) => reason.startsWith(said))) return route;
  return { ...route, reasons: [...route.reasons, `${said}: this turn is not degraded`] };
}

/** Nothing is chosen: the next turn, at a lower level, gets its pool like a first one. */
const unrouted = (level: Level, what: string): RouteDecision => ({
  pool: "",
  tier: "",
  reasons: [`load level ${level}: ${what}`],
});

export function extractClosing(
  level: Level,
  extract: Extract,
  question: string,
  passages: readonly Passage[],
  locale: string,
): Closing {
  const { text, citations } = extract(question, passages, locale);
  const note = phrase(citations.length > 0 ? "extract" : "noExtract", locale);
  return {
    ending: {
      outcome: "answered",
      reply: citations.length > 0 ? `${text}\n\n${note}` : note,
      citations,
      model: "kb-extract",
      cached: false,
      usage: NO_USAGE,
    },
    route: unrouted(level, "answered from the documents, no model was asked"),
  };
}

export const refusal = (level: Level, locale: string): Closing => ({
  ending: emptyEnding("failed", phrase("refused", locale)),
  error: "load.refused",
  route: unrouted(level, "a new conversation is refused"),
});
