/**
 * `jetclaw bench fairness`: tenants at an even rate, then the same while one of them floods, then while it floods beyond
 * the capacity with deferred work waiting besides. Every message begins a conversation, so all jobs have one class and
 * only lanes tell them apart. The even phase is run twice, in slices between those of the flood: what differs between the
 * two is noise.
 */
import { encode } from "#contracts/codec.ts";
import { JOB_VERSION, type Job } from "#contracts/job.ts";
import { inferSubject } from "#contracts/subjects.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { poisson } from "./arrivals.ts";
import { type Deployed, echoConfig, onDeployment } from "./deployed.ts";
import {
  capacityOf,
  EVEN_SHARE,
  type FairnessMeasured,
  type FairnessOptions,
  fairnessResult,
  SATURATED_SHARE,
} from "./fairness-figures.ts";
import { OpenLoop } from "./open-loop.ts";
import { type BenchResult, randomFrom, round, textOf } from "./shape.ts";

const TEXT_BYTES = 200;
const WARM_UP_SECONDS = 10;
const SETTLE_LIMIT_MS = 60_000;
const SLICES = 5;
/** More deferred work than a phase can do. */
const DEFERRED_SHARE = 0.5;
export function benchFairness(options: FairnessOptions): Promise<BenchResult> {
  const { hosts, workers, slots, modelMs } = options;
  return onDeployment(
    options,
    "fairness",
    {
      hosts,
      workers,
      slots,
      modelMs,
      // Levels would answer the flood without a model; here lanes alone have to do.
      config: () => echoConfig(slots),
    },
    async (deployed, fsync) => fairnessResult(options, fsync, await run(options, deployed)),
  );
}

async function run(options: FairnessOptions, { bus }: Deployed): Promise<FairnessMeasured> {
  const { seconds, tenants, flood, say } = options;
  const loop = await OpenLoop.open(bus);
  const random = randomFrom(options.seed);
  const capacity = capacityOf(options);
  const even = EVEN_SHARE * capacity;
  let sessions = 0;
  const question = (tenant: number, group: string) => ({
    tenant: `tenant-${tenant}`,
    session: `s${sessions++}`,
    text: textOf(TEXT_BYTES, random),
    group,
  });
  // Tenants take turns, so that each has as many turns as the others.
  let turn = 0;
  const phase = async (group: string, lasting: number, floodPerSecond: number): Promise<void> => {
    const from = loop.now();
    const until = from + lasting * 1_000;
    say(
      `${group}: ${lasting} s, ${round(even, 1)} turns/s of ${tenants} tenants${floodPerSecond > 0 ? `, and ${round(floodPerSecond, 1)}/s more of one` : ""}`,
    );
    await Promise.all([
      loop.play(poisson(random, even, from, until), () => question(turn++ % tenants, group)),
      loop.play(poisson(random, floodPerSecond, from, until), () => question(0, `${group} flood`)),
    ]);
    // What waits of one phase is not to be measured in the next.
    if (group !== "saturated") await loop.settled(SETTLE_LIMIT_MS);
  };
  await phase("warm-up", WARM_UP_SECONDS, 0);
  // In slices by turns: what else the machine does for a while falls on all three alike.
  for (let slice = 0; slice < SLICES; slice++) {
    await phase("even", seconds / SLICES, 0);
    await phase("flood", seconds / SLICES, ((flood - 1) * even) / tenants);
    await phase("evenAgain", seconds / SLICES, 0);
  }
  const deferredAt: number[] = [];
  await deferWork(bus, Math.ceil(DEFERRED_SHARE * capacity * seconds), () => deferredAt.push(loop.now()));
  const from = loop.now();
  await phase("saturated", seconds, SATURATED_SHARE * capacity - even);
  const saturated = { from, until: loop.now() };
  await loop.settled(SETTLE_LIMIT_MS);
  return { asked: loop.asked, deferredAt, saturated };
}

/** Jobs that nobody waits for, put directly on the queue: a mail's quiet time is longer than the benchmark. */
async function deferWork(bus: Bus, count: number, onDone: () => void): Promise<void> {
  bus.subscribe("reply.bench.*", () => onDone());
  await bus.flush();
  const at = Date.now();
  const job = (n: number): Job => ({
    v: JOB_VERSION,
    id: `deferred.${n}`,
    tenant: `tenant-${n % 50}`,
    session: `deferred-${n}`,
    turn: 1,
    step: 0,
    pool: "default",
    cls: "deferred",
    lane: 0,
    at,
    deadline: at + 3_600_000,
    messages: [{ role: "user", content: "Summarise the day." }],
    question: "Summarise the day.",
    locale: "en",
    passages: [],
    stream: false,
    replyTo: `reply.bench.${n}`,
  });
  await Promise.all(
    Array.from({ length: count }, (_, n) =>
      bus.append(inferSubject(job(n)), encode(job(n)), { id: job(n).id }),
    ),
  );
}
