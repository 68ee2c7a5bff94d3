// What a fault run says at its end: a table a kill point, the figures, what was violated.
import { KILL_POINTS } from "#runtime/observe/kill-point.ts";
import type { Row, RowResult } from "./row.ts";
import type { Outcome } from "./run.ts";

const SHOWN = 20;

export function textOf(outcome: Outcome): string {
  const { figures, verdict, points, faults, seed, seconds } = outcome;
  const armed = KILL_POINTS.flatMap((point) => {
    const count = points[point];
    return count
      ? [
          `  ${point.padEnd(22)} armed ${String(count.armed).padStart(4)}   hit ${String(count.hit).padStart(4)}`,
        ]
      : [];
  });
  const lines = [
    `seed ${seed}, ${seconds} s`,
    ...(armed.length > 0 ? ["kill points", ...armed] : []),
    "faults",
    ...Object.entries(faults).map(([what, n]) => `  ${what.padEnd(22)} ${n}`),
    "figures",
    ...Object.entries(figures).map(([name, value]) => `  ${name.padEnd(22)} ${value}`),
    ...(verdict.violations.length === 0 ? ["no violations"] : [`${verdict.violations.length} violations`]),
    ...Object.entries(verdict.counts).flatMap(([kind, n]) => (n > 0 ? [`  ${kind.padEnd(22)} ${n}`] : [])),
    ...verdict.violations.slice(0, SHOWN).map((v) => `  ${v.invariant} ${v.kind} in ${v.where}: ${v.detail}`),
  ];
  return lines.join("\n");
}

export function jsonOf({ figures, verdict, points, faults, seed, seconds }: Outcome): string {
  const violations = {
    total: verdict.violations.length,
    ...verdict.counts,
    shown: verdict.violations.slice(0, SHOWN),
  };
  return JSON.stringify({ run: "fault", seed, seconds, faults, points, figures, violations });
}

export function rowText(row: Row, seed: number, { figures, broken }: RowResult): string {
  return [
    `fault ${row.fault}: ${row.name}, seed ${seed}`,
    `target: ${row.target}`,
    ...Object.entries(figures).map(([name, value]) => `  ${name.padEnd(22)} ${value}`),
    broken.length === 0 ? "held" : "NOT held:",
    ...broken.map((sentence) => `  ${sentence}`),
  ].join("\n");
}

export function rowJson(row: Row, seed: number, control: boolean, { figures, broken }: RowResult): string {
  const { fault, name, target } = row;
  return JSON.stringify({
    run: "fault",
    fault,
    name,
    target,
    seed,
    control,
    figures,
    held: broken.length === 0,
    broken,
  });
}
