// What is done to the cluster: kills at named steps, handovers of every partition, freezes beyond ownership.
import { KILL_POINTS, type KillPoint } from "#runtime/observe/kill-point.ts";
import type { Member } from "#test/harness/member-process.ts";
import type { MemberRole } from "#test/harness/orders.ts";
import type { Random } from "#test/harness/random.ts";
import { pause, waitUntil, within } from "#test/harness/wait.ts";
import type { FaultRun } from "./run.ts";

export interface Kill {
  readonly point: KillPoint;
  /** Which passing of the step, from the moment it is armed. */
  readonly nth: number;
}

/** Every step as often as every other one, in an order that the seed decides. */
export function scheduleOf(
  random: Random,
  kills: number,
  points: readonly KillPoint[] = KILL_POINTS,
): Kill[] {
  const order: KillPoint[] = [];
  while (order.length < kills) order.push(...random.shuffle(points));
  return order
    .slice(0, kills)
    .map((point) => ({ point, nth: random.int(1, AFTER_ANOTHER.includes(point) ? 4 : 12) }));
}

const roleOf = (point: KillPoint): MemberRole => (point.startsWith("worker.") ? "worker" : "conversation");

/** Steps that a host passes mostly when another one has gone: it takes partitions over and loads their actors. */
const AFTER_ANOTHER: readonly KillPoint[] = ["host.midTakeover", "host.afterLoad"];

/** A step that is not passed in this time is given up and counted as armed only. */
const HIT_LIMIT_MS = 10_000;

/** Kills hosts and workers by the schedule, each role in a lane of its own. */
export async function kills(run: FaultRun, schedule: readonly Kill[]): Promise<void> {
  let done = 0;
  const lane = async (role: MemberRole): Promise<void> => {
    const random = run.random.fork(`kills of ${role}`);
    for (const kill of schedule.filter(({ point }) => roleOf(point) === role)) {
      if (run.timeIsUp) return;
      await killAt(run, random, kill);
      run.say(`kill ${++done}/${schedule.length} at ${kill.point}, ${run.progress}`);
    }
  };
  await Promise.all([lane("conversation"), lane("worker")]);
}

async function killAt(run: FaultRun, random: Random, { point, nth }: Kill): Promise<void> {
  const role = roleOf(point);
  if (run.calm) await run.calmness();
  const [victim, other] = await twoOf(run, random, role);
  const count = run.points[point] ?? { armed: 0, hit: 0 };
  run.points[point] = count;
  count.armed++;
  victim.arm({ point, nth, action: "die" });
  if (AFTER_ANOTHER.includes(point)) await killNow(run, other);
  if (await reached(victim)) {
    count.hit++;
    await victim.ended;
    await run.note(`${role} killed`, role === "conversation" ? [victim] : []);
    run.cluster.launch(role);
  } else victim.disarm();
}

async function killNow(run: FaultRun, member: Member): Promise<void> {
  await member.kill();
  await run.note("conversation killed", [member]);
  run.cluster.launch("conversation");
}

/** Two members of a role that have joined: a victim and one that is left. */
async function twoOf(run: FaultRun, random: Random, role: MemberRole): Promise<[Member, Member]> {
  return waitUntil(
    () => {
      const joined = random.shuffle(run.cluster.members(role).filter((m) => m.joined && !m.frozen));
      return joined.length >= 2 && ([joined[0], joined[1]] as [Member, Member]);
    },
    { timeoutMs: 180_000, what: `two members of the role ${role}` },
  );
}

async function reached(member: Member): Promise<boolean> {
  await waitUntil(() => member.hit || !member.running, {
    timeoutMs: HIT_LIMIT_MS,
    what: "the armed step",
  }).catch(() => {});
  // Between the limit and the disarming it may still happen.
  return member.hit;
}

/** A new host comes, the oldest goes, by SIGTERM and by SIGKILL in turn: every partition changes hands each round. */
export async function handovers(run: FaultRun, rounds: number): Promise<void> {
  for (let round = 1; round <= rounds && !run.timeIsUp; round++) {
    const old = run.cluster.members("conversation");
    await run.cluster.start("conversation");
    for (const host of old) {
      const gently = round % 2 === 1;
      await run.note(gently ? "handover" : "handover by death", [host]);
      if (gently) await host.stop();
      else await host.kill();
    }
    await run.ownedBy(() => run.cluster.members("conversation"), "the new host to own every partition");
    run.say(`handover ${round}/${rounds}, ${run.progress}`);
  }
}

const FREEZE_POINTS = KILL_POINTS.filter((p) => p.startsWith("host.") && p !== "host.midTakeover");

/** Stops hosts in the middle of steps, every step as often as every other one. */
export async function freezes(run: FaultRun, times: number): Promise<void> {
  const random = run.random.fork("freezes");
  for (const [n, { point, nth }] of scheduleOf(random, times, FREEZE_POINTS).entries()) {
    if (run.timeIsUp) return;
    await freezeAt(run, random, { point, nth });
    run.say(`freeze ${n + 1}/${times} at ${point}, ${run.progress}`);
  }
}

/** One freeze at one of the steps, drawn by chance, `ms` long. */
export async function freezeOnce(
  run: FaultRun,
  random: Random,
  ms = 0,
  points: readonly KillPoint[] = FREEZE_POINTS,
): Promise<void> {
  const [freeze] = scheduleOf(random, 1, random.shuffle(points));
  await freezeAt(run, random, freeze as Kill, ms);
}

/** Stops a host in the middle of a step until another one owns what it had, and lets it go on as if nothing was. */
async function freezeAt(run: FaultRun, random: Random, { point, nth }: Kill, ms = 0): Promise<void> {
  const [victim] = await twoOf(run, random, "conversation");
  victim.arm({ point, nth, action: "freeze" });
  if (!(await reached(victim))) {
    victim.disarm();
    await victim.freeze();
  }
  await victim.stoodStill();
  const from = Date.now();
  await run.note("freeze", [victim]);
  const awake = (): Member[] => run.cluster.members("conversation").filter((m) => m !== victim);
  await run.ownedBy(awake, "the others to own what the frozen host had");
  // The new owner is given time to work on what the frozen one has half done.
  await pause(Math.max(random.int(0, 1_500), ms - (Date.now() - from)));
  victim.thaw();
  await within(rejoined(run, victim), 15_000);
}

/** It has noticed that it slept, and others have given it partitions again. */
function rejoined(run: FaultRun, member: Member): Promise<boolean> {
  return waitUntil(async () => !member.running || (await run.owners()).includes(member.instance), {
    timeoutMs: 15_000,
    what: `${member.instance} to own partitions again`,
    pollMs: 50,
  }).catch(() => false);
}

export const isOutdated = ({ instance }: Member): boolean => instance.startsWith("outdated");

/** Partitions move between the others while one host acts on what it knew at the beginning; nobody is killed. */
export async function outdated(run: FaultRun, rounds: number): Promise<void> {
  const others = (): Member[] => run.cluster.members("conversation").filter((member) => !isOutdated(member));
  for (let round = 1; round <= rounds && !run.timeIsUp; round++) {
    const old = others();
    await run.cluster.start("conversation");
    await run.note("handover beside an outdated host", old);
    await Promise.all(old.map((host) => host.stop()));
    await waitUntil(async () => others().every((m) => m.joined), { timeoutMs: 30_000, what: "the new host" });
    run.say(`handover ${round}/${rounds} beside an outdated host, ${run.progress}`);
  }
}
