/** A measurement as a table: each figure beside its baseline. */
import type { BenchResult } from "../bench/shape.ts";
import { columns } from "./print.ts";

/** @param prefix of the baselines that stand beside a figure */
export function tableOf(
  { figures, baselines, verdicts, units, config }: BenchResult,
  prefix = "barePipeline",
): string {
  const rows = Object.entries(figures).map(([name, value]) => {
    const base = baselines[`${prefix}${name[0]?.toUpperCase()}${name.slice(1)}`];
    return [name, value, base ?? "", units[name] ?? ""];
  });
  // Baselines that are no counterpart of a figure stand by themselves.
  const own = Object.entries(baselines).flatMap(([name, value]) =>
    name.startsWith(prefix) ? [] : [[name, "", value, units[name] ?? ""]],
  );
  const judged = Object.entries(verdicts ?? {}).map(([name, verdict]) => [name, verdict, "", ""]);
  const setting = Object.entries(config).map(
    ([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`,
  );
  return `${columns(["FIGURE", "JETCLAW", prefix === "barePipeline" ? "BASELINE" : prefix.toUpperCase(), "UNIT"], [...rows, ...judged, ...own])}\n\n${setting.join(", ")}`;
}
