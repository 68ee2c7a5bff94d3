/** A pool that nobody answers for is left along `fallback`; inside a pool a healthy model is preferred. */
import type { PoolView } from "../policy.ts";
import {
  type Choice,
  isDown,
  isOpen,
  mayServe,
  moved,
  presentChoice,
  type Situation,
  signalOf,
  type Verdict,
} from "../situation.ts";

export function health(situation: Situation): Verdict {
  const present = presentChoice(situation);
  if (!isDown(situation, present.pool)) return inside(situation, present);
  const other = along(situation, present.pool);
  const down = `every model of ${present.pool.name} keeps failing`;
  if (!other)
    return {
      says: situation.kept
        ? `${down}, and no fallback is of the conversation's tier: it stays`
        : `${down}, and no fallback is better: it stays`,
      notable: true,
    };
  const { choice } = inside(situation, moved(present, other));
  return { says: `${down}: fallback ${other.name}`, choice: choice ?? moved(present, other) };
}

/** The nearest pool that may serve and can, the fallbacks of fallbacks included. */
function along(situation: Situation, from: PoolView): PoolView | undefined {
  const seen = new Set([from]);
  // The set grows while it is walked: breadth first, and a ring of fallbacks ends.
  for (const pool of seen) {
    if (pool !== from && mayServe(situation, pool) && !isDown(situation, pool)) return pool;
    for (const name of pool.fallback) {
      const next = situation.policy.byName.get(name);
      if (next) seen.add(next);
    }
  }
  return undefined;
}

/** A worker passes over a model that fails for itself, but each has to learn it; naming one saves them that. */
function inside(situation: Situation, { pool, model }: Choice): Verdict {
  const fine = (name: string): boolean => !isOpen(situation, pool, name);
  if (model === undefined ? pool.models.every(fine) : fine(model))
    return { says: `${model ?? `every model of ${pool.name}`} is well, as far as is known` };
  const healthy = pool.models.filter(fine);
  const chosen =
    healthy.find((name) => signalOf(situation, pool, name)?.breaker !== "half-open") ?? healthy[0];
  if (chosen === undefined) return { says: `no model of ${pool.name} is well`, notable: true };
  const failing = model ?? pool.models.filter((name) => !fine(name)).join(", ");
  return { says: `${failing} keeps failing: ${chosen} is asked`, choice: { pool, model: chosen } };
}
