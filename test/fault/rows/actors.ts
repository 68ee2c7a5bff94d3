// Faults that an author's actor shows: 15 dedupe forgotten, 17 poison, 21 two builds, 23 a message that kills its host.
import { DEADLETTER } from "#contracts/subjects.ts";
import { streamState } from "#runtime/nats/reader.ts";
import { Cluster } from "#test/harness/cluster.ts";
import { TallyLoad } from "#test/harness/tally-load.ts";
import { pause, waitUntil } from "#test/harness/wait.ts";
import { resend } from "../resend.ts";
import { type Row, type RowOptions, type RowResult, underLoad } from "../row.ts";

const KEYS = 24;
const EVERY_MS = 400;
const DRAIN_MS = 60_000;
const ATTEMPTS = 5;

/** A cluster whose hosts run tallies under load; what they wrote down is judged at the end. */
async function withTallies(
  start: { hosts: number; unsafe?: object; build?: "old" | "new" },
  work: (cluster: Cluster, load: TallyLoad) => Promise<RowResult>,
): Promise<RowResult> {
  const cluster = await Cluster.start({ workers: 0, spares: 2, build: "old", ...start });
  try {
    const load = new TallyLoad(cluster, { keys: KEYS });
    load.start(EVERY_MS);
    const { figures, broken } = await work(cluster, load);
    await load.stop();
    const queues = await cluster.drained(DRAIN_MS);
    const undrained = Object.entries(queues).flatMap(([queue, left]) =>
      left > 0 ? [`${left} messages are left in ${queue}`] : [],
    );
    return {
      figures: { acknowledged: load.acknowledged, ...figures },
      broken: [...broken, ...undrained, ...(await load.judge())],
    };
  } finally {
    await cluster.close();
  }
}

const dedupeForgotten: Row = {
  fault: 15,
  name: "NATS restarted, old messages sent again",
  target: "0 doubled",
  control: "hosts forget what they have processed",
  run: (options) =>
    underLoad(
      options,
      {
        hosts: 2,
        workers: 1,
        perSecond: 40,
        sessions: 40,
        effects: ["record"],
        unsafe: options.control ? { ignoreRing: true } : undefined,
      },
      {},
      async (run) => {
        await waitUntil(() => run.recorder.answered > 300, { timeoutMs: 60_000, what: "300 answers" });
        await run.note("NATS restarted");
        await run.cluster.nats.kill();
        await run.cluster.nats.restart();
        return { sentAgain: await resend(run, 100) };
      },
    ),
};

const poison: Row = {
  fault: 17,
  name: "poison message: its handler always throws",
  target: `dead letter after <= ${ATTEMPTS} attempts, others go on`,
  control: "attempts are not counted",
  run: (options) =>
    withTallies(
      { hosts: 2, ...(options.control ? { unsafe: { ignoreAttempts: true } } : {}) },
      async (cluster, load) => {
        const poisoned = load.keys.slice(0, 6);
        await Promise.all(poisoned.map((key) => load.tell(key, "fail", { name: key }, `fail-${key}`)));
        const letters = async (): Promise<number> => (await streamState(cluster.bus, DEADLETTER)).messages;
        await waitUntil(async () => (await letters()) >= poisoned.length, {
          timeoutMs: 30_000,
          what: "the dead letters",
        }).catch(() => {});
        await pause(3_000);
        const deadLetters = await letters();
        const broken =
          deadLetters === poisoned.length
            ? []
            : [`${deadLetters} dead letters of ${poisoned.length} messages`];
        return { figures: { poisoned: poisoned.length, deadLetters }, broken };
      },
    ),
};

const twoBuilds: Row = {
  fault: 21,
  name: "old and new build side by side",
  target: "old state goes on in the new build, 0 lost",
  control: "the new build forgets what the old one wrote",
  run: (options) =>
    withTallies({ hosts: 2 }, async (cluster) => {
      const old = cluster.members("conversation");
      await pause(4_000);
      const build = options.control ? "forgetful" : "new";
      await Promise.all([1, 2].map(() => cluster.start("conversation", { build })));
      await pause(6_000);
      // An old one comes once more beside the new ones, as a deployment that is taken back does.
      const late = await cluster.start("conversation", { build: "old" });
      await pause(4_000);
      for (const host of [...old, late]) await host.stop();
      await pause(2_000);
      return { figures: { replaced: old.length + 1 }, broken: [] };
    }),
};

const hostKiller: Row = {
  fault: 23,
  name: "message that kills its host",
  target: `dead letter after <= ${ATTEMPTS} deaths, <= 1 host at a time, others go on`,
  control: "attempts are not counted",
  run: (options) =>
    withTallies({ hosts: 3, ...(options.control ? { unsafe: { ignoreAttempts: true } } : {}) }, (...parts) =>
      killHosts(options, ...parts),
    ),
};

async function killHosts({ say }: RowOptions, cluster: Cluster, load: TallyLoad): Promise<RowResult> {
  let [deaths, atOnce] = [0, 0];
  await load.tell(load.keys[0] as string, "exit", { name: "killer" }, "killer");
  const letters = async (): Promise<number> => (await streamState(cluster.bus, DEADLETTER)).messages;
  const until = Date.now() + 90_000;
  while (Date.now() < until && (await letters()) === 0 && deaths <= ATTEMPTS + 2) {
    const missing = 3 - cluster.members("conversation").length;
    if (missing > 0) {
      deaths += missing;
      atOnce = Math.max(atOnce, missing);
      say(`death ${deaths}`);
      for (let n = 0; n < missing; n++) cluster.launch("conversation", { mayDie: true });
    }
    await pause(50);
  }
  const deadLetters = await letters();
  const broken = [
    ...(deadLetters === 1 ? [] : [`${deadLetters} dead letters after ${deaths} deaths`]),
    ...(deaths <= ATTEMPTS ? [] : [`${deaths} hosts died, at most ${ATTEMPTS}`]),
    ...(atOnce <= 1 ? [] : [`${atOnce} hosts died at once`]),
  ];
  if (deadLetters === 0)
    for (const name of ["INBOUND-0", "INBOUND-1"]) await cluster.bus.jsm.streams.purge(name);
  return { figures: { deaths, atOnce, deadLetters }, broken };
}

export const actorRows: readonly Row[] = [dedupeForgotten, poison, twoBuilds, hostKiller];
