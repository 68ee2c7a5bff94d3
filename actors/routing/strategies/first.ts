/** Nobody chose: the first pool that may serve. */
import { presentChoice, type Situation, type Verdict } from "../situation.ts";

export function first(situation: Situation): Verdict {
  if (situation.choice) return { says: `the choice of ${situation.choice.pool.name} stands` };
  const choice = presentChoice(situation);
  return {
    says: situation.kept ? `the first pool of its tier: ${choice.pool.name}` : "auto: the first pool",
    choice,
  };
}
