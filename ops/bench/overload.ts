/**
 * `jetclaw bench overload`: ongoing conversations alone, then the same with new ones on top up to a multiple of the
 * capacity, then without them again. Everything but the client runs in processes of its own; arrivals are random, at
 * fixed rates, and wait for nobody.
 */
import type { ConfigInput } from "#contracts/config.ts";
import { systemClock } from "#runtime/clock.ts";
import { followLoad } from "../compose/load.ts";
import { poisson, repeated } from "./arrivals.ts";
import { type Deployed, onDeployment } from "./deployed.ts";
import { OpenLoop } from "./open-loop.ts";
import {
  capacityOf,
  ONGOING_SHARE,
  type OverloadOptions,
  overloadResult,
  type Phases,
  type Sample,
} from "./overload-figures.ts";
import { type BenchResult, randomFrom, textOf } from "./shape.ts";

/** Workers give the smaller pool this share of the slots, at twice the speed. */
const SMALL_SLOTS = 0.5;
const TENANTS = 20;
const TEXT_BYTES = 200;
const REPLY_BYTES = 400;
/** A session is asked again after this long on average, so that it has nearly always been answered by then. */
const PAUSE_SECONDS = 6;
/** Sessions begin below the capacity, so that no level rises before anything is measured. */
const WARM_SHARE = 0.6;
const SETTLING_SECONDS = 2;
const SAMPLE_MS = 250;
/** Levels that do not fall within this time do not fall for the benchmark. */
const CALM_LIMIT_SECONDS = 60;

export function benchOverload(options: OverloadOptions): Promise<BenchResult> {
  const { hosts, workers, slots, modelMs } = options;
  return onDeployment(
    options,
    "overload",
    {
      hosts,
      workers,
      slots,
      governors: 1,
      simulators: [
        { ttftMs: modelMs, replyBytes: REPLY_BYTES },
        { ttftMs: modelMs / 2, replyBytes: REPLY_BYTES },
      ],
      config: (simulators) => configOf(simulators, slots),
    },
    async (deployed, fsync) => overloadResult(options, { fsync, ...(await run(options, deployed)) }),
  );
}

function configOf([large = "", small = ""]: readonly string[], slots: number): ConfigInput {
  const smallSlots = Math.max(1, Math.floor(slots * SMALL_SLOTS));
  return {
    assistants: { bench: { instructions: "Answer briefly.", knowledge: [] } },
    pools: {
      default: {
        models: [{ name: "large", baseUrl: large, concurrency: slots }],
        degradeTo: "small",
      },
      small: { models: [{ name: "little", baseUrl: small, concurrency: smallSlots }] },
    },
    responseCache: false,
  };
}

async function run(
  options: OverloadOptions,
  deployed: Deployed,
): Promise<{ loop: OpenLoop; phases: Phases; samples: Sample[]; levels: number[] }> {
  const { say, seconds, factor } = options;
  const { bus } = deployed;
  const load = followLoad({ bus, clock: systemClock });
  const loop = await OpenLoop.open(bus);
  const capacity = capacityOf(options);
  const random = randomFrom(options.seed);
  const text = (): string => textOf(TEXT_BYTES, random);
  const sessions = Math.ceil(ONGOING_SHARE * capacity * PAUSE_SECONDS);
  const ongoing = (n: number) => ({ tenant: `tenant-${n % TENANTS}`, session: `ongoing-${n}` });
  let n = 0;
  const rate = capacity * WARM_SHARE;
  say(`capacity ${capacity} turns/s; ${sessions} conversations begin`);
  const begins = [...Array(sessions).keys()].map((i) => loop.now() + (i * 1_000) / rate);
  await loop.play(begins, () => ({ ...ongoing(n++), text: text(), group: "warm-up" }));
  await loop.settled(SETTLING_SECONDS * 10_000);

  const samples: Sample[] = [];
  const sampler = startSampler(loop, deployed, () => load.level.level(), samples);
  const talking = new AbortController();
  const began = loop.now() + SETTLING_SECONDS * 1_000;
  const periodMs = seconds * 1_000;
  const overload = { from: began + periodMs, until: began + 2 * periodMs };
  const talk = loop.play(
    repeated(
      [...poisson(random, ONGOING_SHARE * capacity, 0, periodMs)],
      periodMs,
      began - periodMs,
      began - SETTLING_SECONDS * 1_000,
    ),
    () => ({ ...ongoing(n++ % sessions), text: text(), group: "ongoing" }),
    talking.signal,
  );
  say(`${seconds} s of ongoing conversations alone, ${(ONGOING_SHARE * capacity).toFixed(0)} turns/s`);
  const newcomers = poisson(random, (factor - ONGOING_SHARE) * capacity, overload.from, overload.until);
  let newcomer = 0;
  const flood = loop.play(newcomers, () => {
    const session = newcomer++;
    if (session === 0)
      say(`${seconds} s with ${((factor - ONGOING_SHARE) * capacity).toFixed(0)} new conversations/s on top`);
    return { tenant: `tenant-${session % TENANTS}`, session: `new-${session}`, text: text(), group: "new" };
  });
  await flood;
  say("no new conversations any more; waiting for level 0");
  const calmAt = await calm(loop, overload.until, () => load.level.level());
  talking.abort();
  await talk;
  await loop.settled(60_000);
  sampler.stop();
  await sampler.done;
  const { history } = await load.admin.status();
  load.stop();
  const phases = { alone: { from: began, until: overload.from }, overload, calmAt };
  return { loop, phases, samples, levels: history.map(({ level }) => level).reverse() };
}

/** When level 0 was reached after the load; the limit's end when it was not. */
async function calm(loop: OpenLoop, since: number, level: () => number): Promise<number> {
  const until = since + CALM_LIMIT_SECONDS * 1_000;
  while (level() > 0 && loop.now() < until) await new Promise((resolve) => setTimeout(resolve, 50));
  return loop.now();
}

function startSampler(
  loop: OpenLoop,
  { hosts, cpuMs }: Deployed,
  level: () => number,
  samples: Sample[],
): { stop(): void; done: Promise<void> } {
  let stopped = false;
  const sample = async (): Promise<void> => {
    while (!stopped) {
      const usage = await Promise.all(hosts.map((host) => host.usage()));
      samples.push({
        cpuMs: await cpuMs(),
        at: loop.now(),
        level: level(),
        waiting: loop.waiting,
        hostsRssMb: usage.reduce((sum, { rssMb }) => sum + rssMb, 0),
      });
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
    }
  };
  return {
    stop() {
      stopped = true;
    },
    done: sample(),
  };
}
