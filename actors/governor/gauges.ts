/** The load as Prometheus gauges, by pool and class, of whichever process serves `/metrics`. */
import type { Drain } from "#contracts/load.ts";
import { gauge } from "#runtime/observe/metrics.ts";
import type { LevelReader } from "./port.ts";
import type { LoadWatch } from "./watch.ts";

/** Returns the function that removes them. */
export function exportLoad(load: LoadWatch, level: LevelReader): () => void {
  const each = (of: (drain: Drain) => number) => () =>
    (load.report()?.drains ?? []).map((drain) => ({
      value: of(drain),
      labels: { pool: drain.pool, class: drain.cls },
    }));
  const removals = [
    gauge("load_level", "load level in force", () => [{ value: level.level() }]),
    gauge(
      "queue_drain_ms",
      "predicted wait of a job that came now, ms",
      each(({ drainMs }) => Math.round(drainMs)),
    ),
    gauge(
      "queue_waiting",
      "jobs that wait for a worker",
      each(({ waiting }) => waiting),
    ),
    gauge(
      "queue_in_flight",
      "jobs that workers hold",
      each(({ inFlight }) => inFlight),
    ),
    gauge(
      "queue_oldest_ms",
      "age of the oldest waiting job, ms",
      each(({ oldestMs }) => oldestMs),
    ),
  ];
  return () => {
    for (const remove of removals) remove();
  };
}
