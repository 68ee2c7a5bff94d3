/** Which series of a benchmark make its plot. */
import { drawPanels, type Panel } from "./chart.ts";
import type { BenchResult } from "./shape.ts";

type Series = NonNullable<BenchResult["series"]>;

const PANELS: Readonly<
  Record<string, readonly { readonly title: string; readonly unit: string; readonly of: Names }[]>
> = {
  overload: [
    {
      title: "p95 of answers by class",
      unit: "ms",
      of: { ongoing: "ongoingP95Ms", new: "newP95Ms" },
    },
    { title: "load level", unit: "level", of: { level: "level" } },
    { title: "messages without an answer", unit: "messages", of: { waiting: "waiting" } },
  ],
  failover: [
    {
      title: "slowest turn of each second: a host drains, one joins, one is killed",
      unit: "ms",
      of: { slowest: "slowestMs" },
    },
  ],
  conversations: [
    {
      title: "memory of the host while ever new conversations come",
      unit: "MB",
      of: { memory: "hostRssMb" },
    },
  ],
  timers: [{ title: "timers that have not fired", unit: "timers", of: { waiting: "waiting" } }],
  traffic: [
    { title: "latency of answers", unit: "ms", of: { p50: "p50Ms", p95: "p95Ms" } },
    {
      title: "jobs in the queue",
      unit: "jobs",
      of: { waiting: "queueWaiting", "in flight": "queueInFlight" },
    },
    { title: "arrivals", unit: "messages/s", of: { arrivals: "arrivals" } },
    { title: "load level", unit: "level", of: { level: "level" } },
  ],
  fairness: [
    {
      title: "p95 over the tenants that do not flood, the phases one after the other",
      unit: "ms",
      of: { "p95 of all": "othersP95Ms" },
    },
    { title: "answers to deferred jobs", unit: "jobs/s", of: { deferred: "deferredPerSecond" } },
  ],
};
type Names = Readonly<Record<string, string>>;

export const hasStory = ({ bench, series }: Pick<BenchResult, "bench" | "series">): boolean =>
  series !== undefined && Object.hasOwn(PANELS, bench);

/** @throws JetclawError `start.refused` where the drawing library is not installed */
export function drawStory({ bench, series = {} }: Pick<BenchResult, "bench" | "series">): Promise<string> {
  return drawPanels(`jetclaw bench ${bench}`, panelsOf(PANELS[bench] ?? [], series));
}

function panelsOf(wanted: readonly { title: string; unit: string; of: Names }[], series: Series): Panel[] {
  return wanted.map(({ title, unit, of }) => ({
    title,
    unit,
    steps: unit === "level",
    logarithmic: unit === "ms",
    lines: Object.fromEntries(
      Object.entries(of).map(([name, key]) => [
        name,
        // A logarithm has no zero.
        (series[key] ?? []).filter(([, value]) => unit !== "ms" || value > 0),
      ]),
    ),
  }));
}
