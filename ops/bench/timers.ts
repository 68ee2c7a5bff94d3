/**
 * `jetclaw bench timers`: very many actors set a timer each; all of them are due within a minute. What is counted is read
 * from the stored states: how often each timer fired, and when the state that says so was stored.
 */
import { actorsBucket, inboundStream } from "#contracts/subjects.ts";
import { decodeRecord } from "#runtime/actor/record.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { sendToActor } from "#runtime/nats/inbound.ts";
import { messagesFrom, streamState } from "#runtime/nats/reader.ts";
import type { AlarmState } from "./alarm.ts";
import { type Child, cpuMsOfProcess, rssMbOfProcess } from "./children.ts";
import { type Deployed, echoConfig, type LoadBench, onDeployment } from "./deployed.ts";
import { loadResult } from "./load-result.ts";
import { type BenchResult, quantile, randomFrom, round } from "./shape.ts";

export interface TimersOptions extends LoadBench {
  readonly timers: number;
  readonly hosts: number;
  readonly residency: number;
}

const TENANTS = 20;
const SENT_TOGETHER = 128;
/** Timers that are set a second, assumed for when the first is due; a slower machine sets some of them too late. */
const ASSUMED_SETS_PER_SECOND = 1_500;
const LEAD_MS = 5_000;
/** Nothing is waited for any more when nothing has changed for so long. */
const STILL_MS = 20_000;
const POLL_MS = 250;
const PAGE = 1_024;

interface Seen {
  readonly setSeconds: number;
  readonly serverRssMb: number;
  readonly hostCpuMs: number;
  readonly natsCpuMs: number;
  readonly waiting: [second: number, messages: number][];
  readonly fired: readonly Fired[];
}

interface Fired {
  readonly times: number;
  /** From the due time to the handler, and to the stored state. */
  readonly handlerMs: number;
  readonly storedMs: number;
  /** It was set after it was due: the machine was too slow to set them all in time. */
  readonly setLate: boolean;
}

export function benchTimers(options: TimersOptions): Promise<BenchResult> {
  return onDeployment(
    options,
    "timers",
    {
      hosts: options.hosts,
      hostPart: "alarm-host",
      workers: 0,
      slots: 1,
      config: () => echoConfig(1, { residency: options.residency }),
    },
    async (deployed, fsync) => resultOf(options, fsync, await run(options, deployed)),
  );
}

async function run({ timers, seconds, seed, say }: TimersOptions, deployed: Deployed): Promise<Seen> {
  const random = randomFrom(seed);
  const firstAt = Date.now() + (timers / ASSUMED_SETS_PER_SECOND) * 1_000 + LEAD_MS;
  say(`${timers} actors set a timer each`);
  const from = performance.now();
  await setAll(deployed, timers, () => firstAt + random() * seconds * 1_000);
  // Each has stored its state once.
  await waitFor(
    () => storedIn(deployed),
    (stored) => stored >= timers,
  );
  const setSeconds = (performance.now() - from) / 1_000;
  say(`set within ${round(setSeconds, 1)} s; they are due within ${seconds} s`);
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, firstAt - Date.now())));
  const before = await cpuOf(deployed);
  const waiting: Seen["waiting"] = [];
  const due = performance.now();
  await waitFor(
    () => leftIn(deployed),
    (left) => {
      waiting.push([round((performance.now() - due) / 1_000, 1), left]);
      return left === 0;
    },
    seconds * 1_000,
  );
  const after = await cpuOf(deployed);
  return {
    setSeconds,
    serverRssMb: after.natsRssMb,
    hostCpuMs: after.hosts - before.hosts,
    natsCpuMs: after.nats - before.nats,
    waiting,
    fired: await readAll(deployed),
  };
}

async function setAll({ bus }: Deployed, count: number, dueAt: () => number): Promise<void> {
  let next = 0;
  const sender = async (): Promise<void> => {
    while (next < count) {
      const n = next++;
      await sendToActor(bus, {
        id: `set-${n}`,
        kind: "alarm",
        tenant: `tenant-${n % TENANTS}`,
        key: `a${n}`,
        type: "set",
        body: { dueAt: Math.round(dueAt()) },
        at: Date.now(),
      });
    }
  };
  await Promise.all(Array.from({ length: SENT_TOGETHER }, sender));
}

/** Asks until it is enough, or nothing changes any more although it should; a server too busy to say is asked again. */
async function waitFor(
  read: () => Promise<number>,
  enough: (count: number) => boolean,
  doneWithinMs = 0,
): Promise<void> {
  const doneAt = performance.now() + doneWithinMs;
  let changedAt = performance.now();
  let last: number | undefined;
  while (performance.now() < Math.max(changedAt, doneAt) + STILL_MS) {
    const count = await read().catch(() => last);
    if (count !== undefined && enough(count)) return;
    if (count !== last) changedAt = performance.now();
    last = count;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Messages and schedules that are left for actors. */
const leftIn = ({ bus, deployment }: Deployed): Promise<number> =>
  sumOf(bus, deployment.shards, inboundStream);
const storedIn = ({ bus, deployment }: Deployed): Promise<number> =>
  sumOf(bus, deployment.shards, (shard) => `KV_${actorsBucket(shard)}`);

async function sumOf(bus: Bus, shards: number, stream: (shard: number) => string): Promise<number> {
  const states = await Promise.all(Array.from({ length: shards }, (_, s) => streamState(bus, stream(s))));
  return states.reduce((sum, { messages }) => sum + messages, 0);
}

async function readAll({ bus, deployment }: Deployed): Promise<Fired[]> {
  const fired: Fired[] = [];
  for (let shard = 0; shard < deployment.shards; shard++) {
    const stream = `KV_${actorsBucket(shard)}`;
    for (let seq = 1; ; ) {
      const page = await messagesFrom(bus, stream, `$KV.${actorsBucket(shard)}.alarm.>`, seq, PAGE);
      for (const { data, at } of page) {
        const { dueAt, setAt, fired: times, firedAt } = decodeRecord(data).state as AlarmState;
        fired.push({ times, handlerMs: firedAt - dueAt, storedMs: at - dueAt, setLate: setAt > dueAt });
      }
      const last = page.at(-1);
      if (!last || page.length < PAGE) break;
      seq = last.seq + 1;
    }
  }
  return fired;
}

async function cpuOf({
  hosts,
  natsPid,
}: Deployed): Promise<{ hosts: number; nats: number; natsRssMb: number }> {
  const used = await Promise.all(hosts.map((child: Child) => child.usage()));
  return {
    hosts: used.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
    nats: cpuMsOfProcess(natsPid) ?? 0,
    natsRssMb: rssMbOfProcess(natsPid),
  };
}

function unitOf(name: string): string {
  if (name.endsWith("MsPerTimer")) return "ms/timer";
  if (name.endsWith("Ms")) return "ms";
  if (name.endsWith("Mb")) return "MB";
  return name === "setPerSecond" ? "timers/s" : "timers";
}

function resultOf(options: TimersOptions, fsync: number, seen: Seen): BenchResult {
  const { timers, hosts, residency, seconds } = options;
  const once = seen.fired.filter(({ times }) => times === 1);
  const of = (read: (fired: Fired) => number, q: number): number => round(quantile(once.map(read), q), 0);
  const figures = {
    firedOnce: once.length,
    firedNever: timers - seen.fired.filter(({ times }) => times > 0).length,
    firedTwice: seen.fired.filter(({ times }) => times > 1).length,
    latenessP50Ms: of((f) => f.storedMs, 0.5),
    latenessP99Ms: of((f) => f.storedMs, 0.99),
    latenessMostMs: round(Math.max(...once.map((f) => f.storedMs)), 0),
    handlerLatenessP50Ms: of((f) => f.handlerMs, 0.5),
    handlerLatenessP99Ms: of((f) => f.handlerMs, 0.99),
    firedEarly: once.filter(({ handlerMs }) => handlerMs < 0).length,
    setLate: seen.fired.filter(({ setLate }) => setLate).length,
    setPerSecond: round(timers / seen.setSeconds, 0),
    cpuHostsMsPerTimer: round(seen.hostCpuMs / timers),
    cpuNatsMsPerTimer: round(seen.natsCpuMs / timers),
    serverRssMb: round(seen.serverRssMb, 0),
  };
  return loadResult(options, {
    bench: "timers",
    config: {
      timers,
      dueWithinSeconds: seconds,
      residency,
    },
    processes: { hosts },
    fsyncP50Ms: fsync,
    figures,
    unitOf,
    series: { waiting: seen.waiting },
  });
}
