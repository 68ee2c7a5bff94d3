/**
 * `jetclaw bench failover`: people talk at a steady rate while a host is drained, another joins, and one is killed. What
 * a fault costs stands beside the same load without one in the same run.
 */
import { PARTITIONS } from "#contracts/ids.ts";
import { routeOf } from "#contracts/subjects.ts";
import { CONVERSATION } from "#contracts/turn.ts";
import { readPlacement } from "../compose/placement-summary.ts";
import type { Child } from "./children.ts";
import { type Deployed, echoConfig, type LoadBench, onDeployment } from "./deployed.ts";
import { type Faults, failoverResult } from "./failover-figures.ts";
import { type Asked, OpenLoop } from "./open-loop.ts";
import { type BenchResult, randomFrom, textOf } from "./shape.ts";

export interface FailoverOptions extends LoadBench {
  readonly rate: number;
  readonly hosts: number;
  readonly workers: number;
  readonly sessions: number;
}

const TENANTS = 20;
const TEXT_BYTES = 200;
const SLOTS = 64;
const WARM_SECONDS = 3;
/** A phase goes on for so long after its fault is over. */
const AFTER_MS = 1_000;
const PLACED_LIMIT_MS = 30_000;
const POLL_MS = 50;

export function benchFailover(options: FailoverOptions): Promise<BenchResult> {
  const { hosts, workers } = options;
  return onDeployment(
    options,
    "failover",
    {
      hosts,
      workers,
      slots: SLOTS,
      config: () => echoConfig(SLOTS),
    },
    async (deployed, fsync) => failoverResult(options, { fsync, ...(await run(options, deployed)) }),
  );
}

async function run(
  { seed, rate, seconds, sessions, hosts, say }: FailoverOptions,
  deployed: Deployed,
): Promise<{ asked: readonly Asked[]; faults: Faults }> {
  await placed(deployed, hosts);
  const loop = await OpenLoop.open(deployed.bus);
  const random = randomFrom(seed);
  const talking = new AbortController();
  let n = 0;
  const talk = loop.play(
    steady(loop.now(), rate),
    () => {
      // In turn, so that each session speaks as often; who is next to whom is left to chance.
      const session = n++ % sessions;
      return {
        tenant: `tenant-${session % TENANTS}`,
        session: `s${session}`,
        text: textOf(TEXT_BYTES, random),
        group: "turn",
      };
    },
    talking.signal,
  );
  const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  // Every session has begun before anything is measured.
  await pause(WARM_SECONDS * 1_000 + (sessions / rate) * 1_000);
  say(`${seconds} s at ${rate} turns/s without a fault`);
  const quiet = { from: loop.now(), until: loop.now() + seconds * 1_000 };
  await pause(seconds * 1_000);

  const [drained, killed] = deployed.hosts as [Child, Child];
  say("a host drains");
  const drain = await phase(loop, async () => drained.stop());
  await pause(seconds * 500);
  say("another one joins");
  const joined = await phase(loop, async () => {
    await deployed.startHost();
    await placed(deployed, hosts);
  });
  await pause(seconds * 500);
  const sessionsOfKilled = await sessionsOf(deployed, killed, sessions);
  say("a host is killed");
  const killedAt = loop.now();
  killed.kill();
  await pause(seconds * 1_000);
  talking.abort();
  await talk;
  await loop.settled(30_000);
  return { asked: loop.asked, faults: { quiet, drain, joined, killedAt, sessionsOfKilled } };
}

async function phase(loop: OpenLoop, work: () => Promise<void>): Promise<Faults["drain"]> {
  const from = loop.now();
  await work();
  const took = loop.now() - from;
  await new Promise((resolve) => setTimeout(resolve, AFTER_MS));
  return { from, until: loop.now(), took };
}

/** Resolves when so many hosts share the partitions and nothing is about to move. */
async function placed({ bus }: Deployed, hosts: number): Promise<void> {
  const until = performance.now() + PLACED_LIMIT_MS;
  const least = Math.floor(PARTITIONS / hosts);
  for (;;) {
    const placement = await readPlacement(bus);
    if (placement?.hosts.length === hosts && placement.hosts.every((h) => h.partitions.length >= least))
      return;
    if (performance.now() > until) throw new Error("the hosts did not come to share the partitions");
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function sessionsOf({ bus }: Deployed, { pid }: Child, count: number): Promise<Set<string>> {
  const placement = await readPlacement(bus);
  // An instance carries the id of its process.
  const owned = placement?.hosts.find(({ host }) => host.includes(`-${pid}-`))?.partitions ?? [];
  const partitions = new Set(owned);
  return new Set(
    Array.from({ length: count }, (_, n) => ({ tenant: `tenant-${n % TENANTS}`, key: `s${n}` }))
      .filter((address) => partitions.has(routeOf({ kind: CONVERSATION, ...address }).partition))
      .map(({ key }) => key),
  );
}

function* steady(from: number, perSecond: number): Generator<number> {
  for (let n = 0; ; n++) yield from + (n * 1_000) / perSecond;
}
