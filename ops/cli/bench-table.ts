/** What a benchmark says at its end: a table with each figure beside its baseline, or JSON, and a plot. */
import { writeFile } from "node:fs/promises";
import type { BenchResult } from "../bench/shape.ts";
import { columns, print, printJson } from "./print.ts";

/** `prefix`: of the baselines that stand beside a figure. */
export async function report(
  result: BenchResult,
  { json, plot }: { readonly json?: boolean; readonly plot?: string },
  prefix?: string,
): Promise<void> {
  if (json) printJson(result);
  else print(tableOf(result, prefix));
  // Last: figures that took minutes are not lost because a plot cannot be drawn.
  if (plot) await writeFile(plot, await drawing(result, prefix));
}

/** What happened over time where the benchmark tells it, else its figures as bars. */
async function drawing(result: BenchResult, prefix: string | undefined): Promise<string> {
  const { drawStory, hasStory } = await import("../bench/story.ts");
  return hasStory(result) ? drawStory(result) : (await import("../bench/plot.ts")).plot(result, prefix);
}

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
