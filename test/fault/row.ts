// What a row of the list of faults is, and the frame in which most of them run: a cluster under load, something done to
// it, and the judgement against the row's target.
import { JetclawError } from "#contracts/errors.ts";
import type { Verdict } from "#test/harness/checker.ts";
import { FaultRun, type FaultRunOptions, type Outcome } from "./run.ts";

export interface RowOptions {
  readonly seed: number;
  /** The protection is switched off, or a violation is planted: the row must fail then. */
  readonly control: boolean;
  /** Replaces how often the fault is caused. */
  readonly times?: number | undefined;
  readonly minutes?: number | undefined;
  /** Nodes are parted by network namespaces instead of by lines. */
  readonly netns?: boolean | undefined;
  readonly say: (line: string) => void;
}

export interface RowResult {
  readonly figures: Readonly<Record<string, number>>;
  /** What was demanded and does not hold, each a sentence. */
  readonly broken: readonly string[];
}

export interface Row {
  readonly fault: number;
  readonly name: string;
  readonly target: string;
  /** It can part nodes by network namespaces. */
  readonly byNetns?: boolean;
  /** What the control run switches off or plants. */
  readonly control: string;
  readonly run: (options: RowOptions) => Promise<RowResult>;
}

/** Highest values of figures, by name. */
export type Limits = Readonly<Record<string, number>>;

/**
 * Starts a cluster under load, does `faults` to it, and judges: invariants, and figures of the run or of `faults`
 * against `limits`.
 */
export async function underLoad(
  { seed, say, minutes, control }: RowOptions,
  start: Omit<FaultRunOptions, "seed" | "limitMs" | "say">,
  limits: Limits,
  faults: (run: FaultRun) => Promise<Readonly<Record<string, number>>>,
): Promise<RowResult> {
  const limitMs = (minutes ?? 30) * 60_000;
  const drainMs = control ? CONTROL_DRAIN_MS : undefined;
  const run = await FaultRun.start({ drainMs, ...start, seed, say, limitMs });
  let own: Readonly<Record<string, number>>;
  let outcome: Outcome;
  try {
    own = await faults(run);
    outcome = await run.conclude();
  } catch (error) {
    await run.close();
    throw error instanceof JetclawError
      ? new Error(`${error.code}: ${error.message}`, { cause: error })
      : error;
  }
  const { tallied, seconds } = outcome;
  const figures = {
    ...outcome.figures,
    ...own,
    ...(tallied.acknowledged > 0 ? { tallied: tallied.acknowledged } : {}),
    seconds,
  };
  const broken = [...violationsOf(outcome.verdict), ...tallied.broken, ...beyond(figures, limits)];
  return { figures, broken };
}

const SHOWN = 20;
/** What a control run loses stays lost. */
const CONTROL_DRAIN_MS = 15_000;

export function violationsOf({ violations, counts }: Verdict): string[] {
  const shown = violations.slice(0, SHOWN).map((v) => `${v.invariant} ${v.kind} in ${v.where}: ${v.detail}`);
  const kinds = Object.entries(counts).flatMap(([kind, n]) => (n > 0 ? [`${kind} ${n}`] : []));
  return violations.length > SHOWN ? [`in all: ${kinds.join(", ")}`, ...shown] : shown;
}

export function beyond(figures: Readonly<Record<string, number>>, limits: Limits): string[] {
  return Object.entries(limits).flatMap(([name, limit]) => {
    const value = figures[name];
    if (value === undefined) return [`${name} was not measured`];
    return value <= limit ? [] : [`${name} is ${value}, at most ${limit}`];
  });
}
