/** An ongoing conversation keeps its tier, and its model too: a change of voice in mid-conversation is noticed. */
import type { PoolView } from "../policy.ts";
import { isOpen, type Situation, signalOf, type Verdict } from "../situation.ts";

/**
 * Another model is a clear gain when its first token comes in half the time and this much sooner. Less does not pay:
 * the new model reads the whole conversation without a warm prefix.
 */
const GAIN_MS = 500;
const GAIN_SHARE = 0.5;

export function keep(situation: Situation): Verdict {
  const { features, allowed, kept } = situation;
  if (features.tier === undefined) return { says: "the conversation is new and has no tier to keep" };
  if (!kept)
    return { says: `the conversation's tier ${features.tier} is no longer configured`, notable: true };
  const model = ownModel(situation);
  const pool = allowed.find(({ models }) => model !== undefined && models.includes(model)) ?? allowed[0];
  if (!pool) return { says: "no pool of the tier is left" };
  const tier = `the conversation keeps its tier ${features.tier}`;
  if (model === undefined || !pool.models.includes(model)) return { says: tier, choice: { pool } };
  if (isOpen(situation, pool, model))
    return { says: `${tier}, not its model ${model}, which keeps failing`, choice: { pool } };
  const faster = clearlyFaster(situation, pool, model);
  if (faster)
    return {
      says: `${tier}, and changes from ${model} to ${faster.model}: first token after ${faster.ms} instead of ${faster.insteadOfMs} ms`,
      choice: { pool, model: faster.model },
    };
  return { says: `${tier} and its model ${model}`, choice: { pool, model } };
}

/** The model that the assistant names now counts more than the one that happened to serve the last turn. */
function ownModel({ features, allowed }: Situation): string | undefined {
  const named = allowed.some(({ models }) => models.includes(features.policy));
  return named ? features.policy : features.model;
}

function clearlyFaster(
  situation: Situation,
  pool: PoolView,
  model: string,
): { model: string; ms: number; insteadOfMs: number } | undefined {
  // Whoever names a model wants that one.
  if (situation.features.policy === model) return undefined;
  const own = signalOf(situation, pool, model)?.firstTokenMs ?? 0;
  if (own <= 0) return undefined;
  let best: { model: string; ms: number; insteadOfMs: number } | undefined;
  for (const other of pool.models) {
    const signal = signalOf(situation, pool, other);
    if (other === model || signal?.breaker !== "closed" || signal.firstTokenMs <= 0) continue;
    const ms = signal.firstTokenMs;
    if (ms > own * GAIN_SHARE || own - ms < GAIN_MS || (best && best.ms <= ms)) continue;
    best = { model: other, ms: Math.round(ms), insteadOfMs: Math.round(own) };
  }
  return best;
}
