/** The deployment's present state as decisions read it: the governor's level and what the workers say of their models. */
import type { LevelReader } from "../governor/port.ts";
import type { HealthView } from "../inference/port.ts";
import type { ModelSignal, Signals } from "./port.ts";

/** Workers speak every two seconds: asking the view anew for every turn would only cost. */
const FRESH_MS = 500;

export function liveSignals(
  level: LevelReader,
  health: Pick<HealthView, "of">,
  now: () => number = Date.now,
): Signals {
  // Bounded by the configured models: nothing else is ever asked for.
  const known = new Map<string, ModelSignal | undefined>();
  let readAt = Number.NEGATIVE_INFINITY;
  return {
    get level() {
      return level.level();
    },
    health(pool, model) {
      if (now() - readAt > FRESH_MS) {
        known.clear();
        readAt = now();
      }
      const key = `${pool} ${model}`;
      if (!known.has(key)) known.set(key, health.of(pool, model));
      return known.get(key);
    },
  };
}
