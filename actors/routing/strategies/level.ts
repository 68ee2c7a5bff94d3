/**
 * From load level 1 on a new conversation gets the smaller pool, `degradeTo`. It keeps that tier afterwards, as every
 * conversation keeps its own. What nobody waits for (class `deferred`) is not degraded: it is served last anyway.
 */
import { isDown, mayServe, moved, presentChoice, type Situation, type Verdict } from "../situation.ts";

export function level(situation: Situation): Verdict {
  const { features, policy, signals, kept } = situation;
  if (signals.level === 0) return { says: "load level 0: nothing is degraded" };
  const at = `load level ${signals.level}`;
  if (kept) return { says: `${at}: an ongoing conversation keeps its tier` };
  if (features.cls !== "new") return { says: `${at}: the class ${features.cls} is not degraded` };
  const present = presentChoice(situation);
  const { name, degradeTo } = present.pool;
  const smaller = degradeTo === undefined ? undefined : policy.byName.get(degradeTo);
  if (!smaller || smaller === present.pool)
    return { says: `${at}: ${name} has no smaller pool`, notable: true };
  if (!mayServe(situation, smaller) || (isDown(situation, smaller) && !isDown(situation, present.pool)))
    return { says: `${at}: the smaller pool ${smaller.name} keeps failing, ${name} stays`, notable: true };
  return {
    says: `${at}: new conversations get ${smaller.name} instead of ${name}`,
    choice: moved(present, smaller),
  };
}
