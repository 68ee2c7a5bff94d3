// `npm run test:fault`: a seeded schedule of faults on a real cluster under load, and what the checker found.
//   --mode kills|handover|freeze|outdated|all|stale   --seed S   --minutes M   --kills N --handovers N --freezes N
//   --points host (steps whose names begin so)   --model echo|simulator   --calm (a kill waits until the last one is overcome)
//   stale: --lookups N (10000), three hosts whose look-ups race with changes while invalidators are killed
//   --hosts N --workers N --per-second N   --control no-ring|no-outbox|no-fence   --json
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import type { Unsafe } from "#runtime/actor/host.ts";
import { KILL_POINTS } from "#runtime/observe/kill-point.ts";
import { midstream } from "./midstream.ts";
import { freezes, handovers, kills, outdated, scheduleOf } from "./modes.ts";
import { providers } from "./providers.ts";
import { jsonOf, textOf } from "./report.ts";
import { FaultRun } from "./run.ts";

const MODES = ["kills", "handover", "freeze", "outdated", "all", "midstream", "providers", "stale"] as const;
type Mode = (typeof MODES)[number];

/** Faults of the list by number, as far as a mode causes them. */
const NUMBERED: Readonly<Record<string, Mode>> = {
  "1": "kills",
  "2": "midstream",
  "5": "handover",
  "16": "providers",
  "9": "freeze",
  "18": "handover",
  "22": "outdated",
  "24": "all",
};

const CONTROLS: Readonly<Record<string, Unsafe>> = {
  "no-ring": { ignoreRing: true },
  "no-outbox": { dropOutbox: true },
  "no-fence": { ignoreFence: true },
};

const { values } = parseArgs({
  options: {
    mode: { type: "string" },
    fault: { type: "string" },
    seed: { type: "string" },
    minutes: { type: "string", default: "30" },
    kills: { type: "string", default: "200" },
    handovers: { type: "string", default: "30" },
    freezes: { type: "string", default: "20" },
    hosts: { type: "string", default: "2" },
    workers: { type: "string", default: "2" },
    "per-second": { type: "string", default: "100" },
    control: { type: "string" },
    model: { type: "string", default: "echo" },
    calm: { type: "boolean", default: false },
    points: { type: "string", default: "" },
    lookups: { type: "string", default: "10000" },
    json: { type: "boolean", default: false },
  },
});

function refuse(text: string): never {
  process.stderr.write(`${text}\n`);
  process.exit(2);
}

function number(
  name:
    | "seed"
    | "minutes"
    | "kills"
    | "handovers"
    | "freezes"
    | "lookups"
    | "hosts"
    | "workers"
    | "per-second",
): number {
  const value = Number(values[name]);
  return Number.isFinite(value) && value >= 0
    ? value
    : refuse(`--${name} is a number from 0, not ${values[name]}`);
}

function modeOf(): Mode {
  if (values.fault !== undefined)
    return NUMBERED[values.fault] ?? refuse(`--fault is one of ${Object.keys(NUMBERED).join(", ")}`);
  const mode = values.mode ?? "kills";
  return MODES.find((m) => m === mode) ?? refuse(`--mode is one of ${MODES.join(", ")}`);
}

const mode = modeOf();
const points = KILL_POINTS.filter((point) => point.startsWith(values.points));
if (points.length === 0) refuse(`--points is the beginning of a step: ${KILL_POINTS.join(", ")}`);
const seed = values.seed === undefined ? randomInt(1, 2 ** 31) : number("seed");
if (mode === "midstream" || mode === "providers") {
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  const control = values.control !== undefined;
  say(`seed ${seed}, mode ${mode}${control ? ", control: violations are expected" : ""}`);
  const { figures, broken } =
    mode === "midstream"
      ? await midstream({ seed, kills: number("kills"), control, say })
      : await providers({ seed, turns: 5, control, say });
  for (const [name, value] of Object.entries(figures)) say(`  ${name.padEnd(24)} ${value}`);
  for (const each of broken) say(`  broken: ${each}`);
  say(broken.length === 0 ? "nothing is broken" : `${broken.length} demands do not hold`);
  if (values.json) process.stdout.write(`${JSON.stringify({ run: mode, seed, control, figures, broken })}\n`);
  process.exit(broken.length > 0 === control ? 0 : 1);
}
const unsafe =
  values.control === undefined
    ? undefined
    : (CONTROLS[values.control] ?? refuse(`--control is one of ${Object.keys(CONTROLS).join(", ")}`));
const say = (line: string): void => void process.stderr.write(`${line}\n`);
say(`seed ${seed}, mode ${mode}${unsafe ? `, control ${values.control}: violations are expected` : ""}`);

if (mode === "stale") {
  const { runStale } = await import("#test/harness/stale.ts");
  const figures = await runStale({ seed, lookups: number("lookups"), hosts: 3, killEvery: 500, say });
  const { stale, ...rest } = figures;
  if (values.json) process.stdout.write(`${JSON.stringify({ run: "stale", seed, ...figures })}\n`);
  else for (const [name, value] of Object.entries(rest)) say(`  ${name.padEnd(22)} ${value}`);
  for (const each of stale.slice(0, 20)) say(`  stale: ${each}`);
  const enough = figures.hits * 2 >= figures.lookups;
  say(
    stale.length > 0
      ? `${stale.length} stale`
      : enough
        ? "none stale"
        : "none stale, but too few hits to prove it",
  );
  process.exit(stale.length === 0 && enough ? 0 : 1);
}

const run = await FaultRun.start({
  seed,
  // A handover moves everything from one host to the next.
  hosts: mode === "handover" || mode === "outdated" ? 1 : number("hosts"),
  outdatedHost: mode === "outdated",
  calm: values.calm,
  simulator: values.model === "simulator",
  workers: number("workers"),
  perSecond: number("per-second"),
  limitMs: number("minutes") * 60_000,
  unsafe,
  say,
});
try {
  if (mode === "kills" || mode === "all")
    await kills(run, scheduleOf(run.random.fork("schedule"), number("kills"), points));
  if (mode === "freeze" || mode === "all") await freezes(run, number("freezes"));
  if (mode === "handover" || mode === "all") await handovers(run, number("handovers"));
  if (mode === "outdated") await outdated(run, number("handovers"));
  const outcome = await run.conclude();
  say(textOf(outcome));
  if (values.json) process.stdout.write(`${jsonOf(outcome)}\n`);
  const found = outcome.verdict.violations.length > 0;
  if (unsafe)
    say(
      found
        ? "the control run found what it had to find"
        : "the control run found nothing: the checker proves nothing",
    );
  process.exitCode = found === (unsafe !== undefined) ? 0 : 1;
} catch (error) {
  say(`the run itself failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  await run.close();
  process.exitCode = 1;
}
process.exit();
