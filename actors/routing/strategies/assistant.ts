/** The assistant names a pool, or a model of any pool. */
import { mayServe, type Situation, type Verdict } from "../situation.ts";

export function assistant(situation: Situation): Verdict {
  const { features, policy, allowed, choice } = situation;
  const { policy: named } = features;
  if (choice) return { says: `the choice of ${choice.pool.name} stands, whatever the assistant names` };
  const pool = policy.byName.get(named);
  if (pool)
    return mayServe(situation, pool)
      ? { says: `the assistant names pool ${named}`, choice: { pool } }
      : { says: `the assistant names pool ${named}, which is of another tier than the conversation` };
  const holder = allowed.find(({ models }) => models.includes(named));
  if (holder) return { says: `the assistant names model ${named}`, choice: { pool: holder, model: named } };
  return {
    says:
      named === "auto"
        ? "the assistant leaves it open (auto)"
        : `the assistant names ${named}, which no allowed pool holds`,
    notable: named !== "auto",
  };
}
