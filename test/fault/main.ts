// `npm run test:fault`: faults on a real cluster under load, and what the checker found. USAGE below says how.
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { KILL_POINTS } from "#runtime/observe/kill-point.ts";
import { Skipped } from "#test/harness/skipped.ts";
import { degraded } from "./degraded.ts";
import { ELSEWHERE, ROWS } from "./list.ts";
import type { Findings } from "./midstream.ts";
import { CONTROLS, MODES, type Mode, runMode } from "./mode.ts";
import { jsonOf, rowJson, rowText, textOf } from "./report.ts";
import type { Row } from "./row.ts";
import { staleRun } from "./stale-run.ts";

const USAGE = `npm run test:fault -- [options]

  --list                    every row of the list of faults, with its target
  --fault N                 one row
  --seed S --minutes M      without --fault and --mode: everything at once (row 24)
  --times N                 causes a row's fault so often
  --control                 switches the row's protection off, or plants a violation: violations must be found
  --netns                   rows 10 and 11 by network namespaces instead of by lines; needs root
  --json                    prints the figures as JSON

  --mode stale --lookups N  look-ups of caches that race with changes while both of their consumers are killed
  --mode degraded --turns N turns while caches, Qdrant or embeddings are away, against the same turns before
  --mode ${MODES.join("|")}   one mode for as long as asked, with
      --kills N --handovers N --freezes N --hosts N --workers N --per-second N --servers 1|3
      --points host         steps whose names begin so
      --calm                a kill waits until the last one is overcome
      --model simulator     a provider with a bill
      --control ${Object.keys(CONTROLS).join("|")}

Exit code 0: nothing was violated; with --control: something was. 2: skipped, or a wrong option.`;

// A control of a row has no value, one of a mode has.
const args = process.argv
  .slice(2)
  .map((arg, n, all) =>
    arg === "--control" && (all[n + 1] ?? "--").startsWith("--") ? "--control=row" : arg,
  );
const { values } = parseArgs({
  args,
  options: {
    help: { type: "boolean", default: false },
    list: { type: "boolean", default: false },
    mode: { type: "string" },
    fault: { type: "string" },
    times: { type: "string" },
    seed: { type: "string" },
    minutes: { type: "string" },
    kills: { type: "string", default: "200" },
    handovers: { type: "string", default: "30" },
    freezes: { type: "string", default: "20" },
    hosts: { type: "string", default: "2" },
    workers: { type: "string", default: "2" },
    servers: { type: "string", default: "1" },
    "per-second": { type: "string", default: "100" },
    control: { type: "string" },
    model: { type: "string", default: "echo" },
    calm: { type: "boolean", default: false },
    points: { type: "string", default: "" },
    lookups: { type: "string", default: "10000" },
    netns: { type: "boolean", default: false },
    turns: { type: "string", default: "300" },
    json: { type: "boolean", default: false },
  },
});

const say = (line: string): void => void process.stderr.write(`${line}\n`);

function refuse(text: string): never {
  say(text);
  process.exit(2);
}

type Numbered =
  | "lookups"
  | "turns"
  | "seed"
  | "minutes"
  | "times"
  | "kills"
  | "handovers"
  | "freezes"
  | "hosts"
  | "workers";

function number(name: Numbered | "per-second" | "servers"): number {
  const value = Number(values[name]);
  return Number.isFinite(value) && value >= 0
    ? value
    : refuse(`--${name} is a number from 0, not ${values[name]}`);
}

const optional = (name: Numbered): number | undefined =>
  values[name] === undefined ? undefined : number(name);

function list(): void {
  for (const { fault, name, target, control } of ROWS)
    process.stdout.write(
      `${String(fault).padStart(2)}  ${name.padEnd(44)} ${target}\n    control: ${control}\n`,
    );
  for (const [fault, where] of Object.entries(ELSEWHERE)) process.stdout.write(`${fault}  ${where}\n`);
}

function rowOf(): Row {
  const fault = Number(values.fault ?? "24");
  const elsewhere = ELSEWHERE[fault];
  if (elsewhere) refuse(`Row ${fault} is shown elsewhere: ${elsewhere}`);
  return (
    ROWS.find((row) => row.fault === fault) ??
    refuse(`--fault is one of ${ROWS.map((row) => row.fault).join(", ")}; --list names them`)
  );
}

async function row(row: Row, seed: number): Promise<boolean> {
  const control = values.control !== undefined;
  if (values.netns && !row.byNetns) refuse(`row ${row.fault} parts no nodes: --netns is for rows 10 and 11`);
  say(`seed ${seed}, fault ${row.fault}: ${row.name}${control ? `; control: ${row.control}` : ""}`);
  const result = await row.run({
    seed,
    control,
    times: optional("times"),
    minutes: optional("minutes"),
    netns: values.netns,
    say,
  });
  say(rowText(row, seed, result));
  if (values.json) process.stdout.write(`${rowJson(row, seed, control, result)}\n`);
  return judge(result.broken.length > 0, control);
}

async function mode(name: Mode, seed: number): Promise<boolean> {
  const points = KILL_POINTS.filter((point) => point.startsWith(values.points));
  if (points.length === 0) refuse(`--points is the beginning of a step: ${KILL_POINTS.join(", ")}`);
  const unsafe =
    values.control === undefined
      ? undefined
      : (CONTROLS[values.control] ?? refuse(`--control is one of ${Object.keys(CONTROLS).join(", ")}`));
  say(`seed ${seed}, mode ${name}${unsafe ? `, control ${values.control}` : ""}`);
  const outcome = await runMode(name, {
    seed,
    minutes: optional("minutes") ?? 30,
    kills: number("kills"),
    handovers: number("handovers"),
    freezes: number("freezes"),
    hosts: number("hosts"),
    workers: number("workers"),
    perSecond: number("per-second"),
    servers: number("servers") === 3 ? 3 : 1,
    points,
    calm: values.calm,
    simulator: values.model === "simulator",
    unsafe,
    say,
  });
  say(textOf(outcome));
  if (values.json) process.stdout.write(`${jsonOf(outcome)}\n`);
  return judge(outcome.verdict.violations.length > 0, unsafe !== undefined);
}

async function stale(seed: number): Promise<boolean> {
  const control = values.control !== undefined;
  say(`seed ${seed}, mode stale${control ? "; control: caches that believe that nothing changes" : ""}`);
  const findings = await staleRun({ seed, lookups: number("lookups"), control, say });
  tell("stale", { seed, ...findings });
  const { figures, broken } = findings;
  return judge((figures.stale ?? 0) > 0 || (!control && broken.length > 0), control);
}

async function degradedTurns(): Promise<boolean> {
  const control = values.control !== undefined;
  say(`mode degraded${control ? "; control: the model itself is slow" : ""}`);
  const findings = await degraded({ turns: number("turns"), control, say });
  tell("degraded", findings);
  return judge(findings.broken.length > 0, control);
}

function tell(run: string, findings: Findings & { readonly seed?: number }): void {
  for (const [name, value] of Object.entries(findings.figures)) say(`  ${name.padEnd(22)} ${value}`);
  for (const each of findings.broken) say(`  ${each}`);
  if (values.json) process.stdout.write(`${JSON.stringify({ run, ...findings })}\n`);
}

/** A run is fine without violations, a control run with them. */
function judge(found: boolean, control: boolean): boolean {
  if (control)
    say(
      found
        ? "the control run found what it had to find"
        : "the control run found nothing: the check proves nothing",
    );
  return found === control;
}

async function main(): Promise<number> {
  if (values.help) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  if (values.list) {
    list();
    return 0;
  }
  const seed = optional("seed") ?? randomInt(1, 2 ** 31);
  const named = values.mode;
  if (named === "degraded") return (await degradedTurns()) ? 0 : 1;
  if (named === "stale") return (await stale(seed)) ? 0 : 1;
  if (named === undefined) return (await row(rowOf(), seed)) ? 0 : 1;
  const found = MODES.find((each) => each === named) ?? refuse(`--mode is one of ${MODES.join(", ")}`);
  return (await mode(found, seed)) ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (error instanceof Skipped) {
    say(`skipped: ${error.message}`);
    process.exitCode = 2;
  } else {
    say(`the run itself failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    process.exitCode = 1;
  }
}
process.exit();
