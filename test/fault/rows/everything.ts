// Fault 24: everything at once, drawn from the seed, and every fourth period quiet.
import { KILL_POINTS } from "#runtime/observe/kill-point.ts";
import type { Random } from "#test/harness/random.ts";
import { pause } from "#test/harness/wait.ts";
import { freezeOnce, handovers, kills } from "../modes.ts";
import { type Row, underLoad } from "../row.ts";
import type { FaultRun } from "../run.ts";
import { KEPT, leader, serving, someStream } from "./servers.ts";

/** Small enough that a machine of two cores drains it between the faults. */
const LOAD = { servers: 3, hosts: 3, workers: 2, perSecond: 15, sessions: 48 } as const;
const HEALTHY_MS = 180_000;
/** What a liveness probe allows. */
const PROBED_MS = 60_000;
const QUIET_MS = 10_000;

type Deed = (run: FaultRun, random: Random) => Promise<void>;

/** What can happen; each leaves the cluster healed behind it. */
const DEEDS: Readonly<Record<string, Deed>> = {
  "processes killed at steps": async (run, random) => {
    const points = random.shuffle(KILL_POINTS).slice(0, 3);
    await kills(
      run,
      points.map((point) => ({ point, nth: random.int(1, 6) })),
    );
  },
  "host frozen": (run, random) => freezeOnce(run, random),
  "all hosts replaced": async (run) => {
    await handovers(run, 1);
    // A handover ends with one host.
    while (run.cluster.members("conversation").length < LOAD.hosts) await run.cluster.start("conversation");
  },
  "node killed": async (run) => {
    const node = await leader(run, someStream(run));
    await node.kill();
    await serving(run);
    await node.start();
  },
  "node stopped": async (run, random) => {
    const node = random.pick(run.cluster.nats.nodes);
    await node.stop();
    await node.start();
  },
  "node paused": async (run, random) => {
    const node = random.pick(run.cluster.nats.nodes);
    await node.freeze();
    await pause(random.int(2_000, 10_000));
    node.thaw();
  },
  "node isolated": async (run, random) => {
    const { nats } = run.cluster;
    await nats.isolate(random.pick(nats.nodes), random.oneIn(2) ? "both" : "one-way");
    await pause(random.int(5_000, 15_000));
    await nats.heal();
  },
  "acknowledgements lost": async (run, random) => {
    await run.cluster.nats.disturbClients({ dropAcks: 0.05 });
    await pause(random.int(3_000, 8_000));
    await run.cluster.nats.heal();
  },
  "lines slow": async (run, random) => {
    await run.cluster.nats.disturbClients({ delayMs: 100, jitterMs: 50 });
    await pause(random.int(3_000, 8_000));
    await run.cluster.nats.heal();
  },
  "connections lost": async (run, random) => {
    await run.cluster.nats.severClients([random.pick(run.cluster.nats.nodes)]);
  },
  "all nodes killed": async (run) => {
    await run.cluster.nats.kill();
    await run.cluster.nats.restart();
  },
};

/**
 * Resolves when the cluster has healed. A server that failed to write a stream once keeps its replica out of everything
 * until it is started anew; it says so to whoever probes it, and a supervisor does that.
 * @returns how many had to be started anew
 */
async function healed(run: FaultRun): Promise<number> {
  const { nats, bus } = run.cluster;
  let started = 0;
  try {
    await nats.healthy(bus, PROBED_MS);
  } catch (error) {
    for (const node of nats.nodes) {
      const broken = (await node.ailments()).ill.filter((each) => each.includes("write error"));
      if (broken.length === 0) continue;
      run.say(`started anew: ${broken.join("; ")}`);
      await node.stop();
      await node.start();
      started++;
    }
    if (started === 0) run.say(`not healed yet: ${error instanceof Error ? error.message : String(error)}`);
    await nats.healthy(bus, HEALTHY_MS);
  }
  return started;
}

const everything: Row = {
  fault: 24,
  name: "everything at once, a quarter quiet",
  target: "0 lost, doubled, reordered; all drained",
  control: "hosts forget what they have processed, write over what others wrote, publish no stored outbox",
  run: (options) =>
    underLoad(
      { ...options, minutes: options.minutes ?? 3 },
      {
        ...LOAD,
        ...KEPT,
        unsafe: options.control ? { ignoreRing: true, ignoreFence: true, dropOutbox: true } : undefined,
      },
      {},
      async (run) => {
        const random = run.random.fork("everything");
        let deeds: string[] = [];
        let [done, quiet, startedAnew] = [0, 0, 0];
        while (!run.timeIsUp) {
          if ((done + quiet) % 4 === 3) {
            quiet++;
            await pause(QUIET_MS);
            continue;
          }
          // Each as often as every other one.
          if (deeds.length === 0) deeds = random.shuffle(Object.keys(DEEDS));
          const name = deeds.pop() as string;
          await run.note(name);
          await (DEEDS[name] as Deed)(run, random.fork(`${done}`));
          startedAnew += await healed(run);
          done++;
          run.say(`${done}: ${name}; ${run.progress}`);
        }
        return { deeds: done, quietPeriods: quiet, startedAnew };
      },
    ),
};

export const everythingRows: readonly Row[] = [everything];
