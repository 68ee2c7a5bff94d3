// Faults of hosts: 1 killed at every step, 9 frozen for a minute, 22 outdated placement.
import { KILL_POINTS } from "#runtime/observe/kill-point.ts";
import { pause } from "#test/harness/wait.ts";
import { freezeOnce, handovers, isOutdated, kills, outdated, scheduleOf } from "../modes.ts";
import { type Row, type RowResult, underLoad } from "../row.ts";

const ONE = { hosts: 2, workers: 2, perSecond: 60, sessions: 60 } as const;
const HOST_POINTS = KILL_POINTS.filter((point) => point.startsWith("host."));
const FROZEN_MS = 60_000;

const hostKilled: Row = {
  fault: 1,
  name: "actor host killed at every named step",
  target: "0 violations in >= 200 kills",
  control: "the stored outbox is not published, processed ids are forgotten",
  run: (options) =>
    underLoad(
      options,
      { ...ONE, unsafe: options.control ? { ignoreRing: true, dropOutbox: true } : undefined },
      {},
      async (run) => {
        const times = options.times ?? (options.control ? 20 : 200);
        await kills(run, scheduleOf(run.random.fork("schedule"), times, HOST_POINTS));
        const hit = Object.values(run.points).reduce((sum, { hit }) => sum + hit, 0);
        return { kills: hit };
      },
    ),
};

const hostFrozen: Row = {
  fault: 9,
  name: "actor host frozen for 60 s, then resumed",
  target: "0 lost, 0 double commits, 0 double replies, 0 jobs paid twice, 0 zombie timers",
  control: "no fence",
  run: (options) =>
    underLoad(
      options,
      {
        ...ONE,
        perSecond: 30,
        simulator: true,
        tallies: 24,
        unsafe: options.control ? { ignoreFence: true } : undefined,
      },
      { paidTwice: 0 },
      async (run) => {
        const random = run.random.fork("frozen");
        for (let n = 1; n <= (options.times ?? 3) && !run.timeIsUp; n++) {
          // Without the fence what it has in hand is written over what others wrote meanwhile.
          await freezeOnce(run, random, FROZEN_MS, options.control ? ["host.afterHandler"] : undefined);
          run.say(`${n}: frozen and thawed, ${run.progress}`);
          await pause(3_000);
        }
        return {};
      },
    ),
};

const outdatedHost: Row = {
  fault: 22,
  name: "host that acts on an outdated placement document",
  target: "0 violations, order too",
  control:
    "it pulls from the owner's consumers, holes left alone: nothing lost or doubled, messages reordered",
  run: async (options) => {
    const result = await underLoad(
      options,
      {
        ...ONE,
        hosts: 1,
        outdatedHost: true,
        // Owners, too, are not to notice that some of the deliveries went elsewhere.
        unsafe: options.control ? { ignoreLosses: true } : undefined,
        outdatedUnsafe: options.control ? { sharesConsumers: true, ignoreLosses: true } : undefined,
      },
      {},
      async (run) => {
        await outdated(run, options.times ?? 6);
        if (!options.control) return {};
        // What the second one was given and could not commit waits for the next epoch.
        const [second] = run.cluster.members("conversation").filter(isOutdated);
        await second?.kill();
        await handovers(run, 1);
        return {};
      },
    );
    return options.control ? onlyReordered(result) : result;
  },
};

/**
 * The fence and the processed ids hold whoever pulls. The order rests on one host alone having a partition, and on its
 * stopping at a hole in what it is given.
 */
function onlyReordered({ figures, broken }: RowResult): RowResult {
  const { lost = 0, doubled = 0, committedWithoutEffect = 0, reordered = 0 } = figures;
  if (lost + doubled + committedWithoutEffect > 0)
    throw new Error(`two hosts on one consumer must lose and double nothing: ${broken.join("; ")}`);
  return { figures, broken: reordered > 0 ? [`${reordered} messages were reordered`] : [] };
}

export const hostRows: readonly Row[] = [hostKilled, hostFrozen, outdatedHost];
