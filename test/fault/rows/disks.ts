// Faults of disks: 7 power cut, 14 disk full.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inboundStream } from "#contracts/subjects.ts";
import { streamState } from "#runtime/nats/reader.ts";
import { checkHistory } from "#test/harness/checker.ts";
import { Cluster } from "#test/harness/cluster.ts";
import { closedTurnsOf } from "#test/harness/conversation-state.ts";
import type { HistoryEvent } from "#test/harness/history.ts";
import { Load } from "#test/harness/load.ts";
import { LoopDisk } from "#test/harness/loop-disk.ts";
import { observe } from "#test/harness/observer.ts";
import { randomOf } from "#test/harness/random.ts";
import { Recorder } from "#test/harness/recorder.ts";
import { pause, waitUntil } from "#test/harness/wait.ts";
import { loseOne } from "../planted.ts";
import { type Row, type RowOptions, type RowResult, violationsOf } from "../row.ts";

const PEOPLE = { tenants: 3, sessions: 30, perSecond: 40 } as const;
const MEMBERS = { hosts: 1, workers: 1 } as const;
const DRAIN_MS = 60_000;

/** The part of a run that two clusters share, one before the fault and one after. */
class DiskRun {
  readonly recorder = new Recorder();
  readonly dir: string;
  readonly options: RowOptions;
  readonly load: Load;
  #cluster: Cluster | undefined;

  constructor(options: RowOptions, dir: string) {
    this.options = options;
    this.dir = dir;
    this.load = new Load({
      ...PEOPLE,
      bus: () => this.cluster.bus,
      recorder: this.recorder,
      random: randomOf(options.seed),
    });
  }

  get cluster(): Cluster {
    if (!this.#cluster) throw new Error("no cluster runs");
    return this.#cluster;
  }

  async start(folder: string, syncInterval: "always" | "1s" | "2m"): Promise<void> {
    this.#cluster = await Cluster.start({ ...MEMBERS, dir: this.dir, syncInterval, storeOf: () => folder });
    const { bus, deployment } = this.#cluster;
    const { recorder } = this;
    await observe({ bus, deployment, recorder, closedOf: closedTurnsOf, effects: ["record"] });
  }

  /** Ends what runs; nothing may. */
  async close(): Promise<void> {
    await this.#cluster?.close();
  }

  async conclude(events: (all: readonly HistoryEvent[]) => readonly HistoryEvent[]): Promise<RowResult> {
    await this.load.stop();
    const queues = await this.cluster.drained(DRAIN_MS);
    await waitUntil(() => this.recorder.unanswered === 0, { timeoutMs: 10_000, what: "answers" }).catch(
      () => {},
    );
    this.recorder.add({ type: "settled", queues, at: Date.now() });
    const verdict = checkHistory(events(this.recorder.events));
    const acknowledged = this.recorder.events.filter(({ type }) => type === "ok").length;
    const figures = { acknowledged, answered: this.recorder.answered, lost: verdict.counts.lost };
    return { figures, broken: violationsOf(verdict) };
  }
}

async function onDisk(
  options: RowOptions,
  megabytes: number,
  work: (run: DiskRun, disk: LoopDisk) => Promise<RowResult>,
): Promise<RowResult> {
  const dir = await mkdtemp(join(tmpdir(), "jetclaw-disk-"));
  const disk = await LoopDisk.make(join(dir, "disk.img"), join(dir, "disk"), megabytes);
  const run = new DiskRun(options, dir);
  try {
    return await work(run, disk);
  } finally {
    await run.load.stop().catch(() => {});
    await run.close().catch(() => {});
    disk.unmount();
    await rm(dir, { recursive: true, force: true });
  }
}

const powerCut: Row = {
  fault: 7,
  name: "power cut: the disk's image copied in mid-run",
  target: "0 acknowledged messages lost with sync always",
  control: "sync_interval 2m: some must be lost",
  run: (options) =>
    onDisk(options, 256, async (run, disk) => {
      const sync = options.control ? "2m" : "always";
      await run.start(join(disk.folder, "nats"), sync);
      run.load.start();
      await waitUntil(() => run.recorder.answered > 50, { timeoutMs: 120_000, what: "50 answers" });
      // A server that has run for a while has its files on the disk; files that nobody can open would show nothing.
      disk.flush();
      await waitUntil(() => run.recorder.answered > 250, { timeoutMs: 120_000, what: "250 answers" });
      // What is acknowledged from here on may be stored after the copy was made.
      const cutAt = run.recorder.events.length;
      const copy = await disk.copyTo(join(run.dir, "copy.img"));
      options.say(`cut at ${run.recorder.answered} answers`);
      await run.load.stop();
      await run.cluster.killEverything();
      await run.cluster.close();
      disk.unmount();
      await copy.mount();
      const before = run.recorder.events.slice(0, cutAt);
      const after = new DiskRun(options, run.dir);
      after.recorder.events.push(...before.filter(({ type }) => type === "invoke" || type === "ok"));
      try {
        await after.start(join(disk.folder, "nats"), sync);
        await after.cluster.drained(DRAIN_MS);
        // Sessions whose later messages the copy holds in part answer those too; they are nobody's loss.
        const known = new Set(
          run.recorder.events.flatMap((e) =>
            e.type === "invoke" ? [`${e.tenant}/${e.session}/${e.message}`] : [],
          ),
        );
        const result = await after.conclude((all) => [
          ...run.recorder.events.filter(({ type }) => type === "invoke"),
          ...all.filter((e) => e.type !== "invoke" || known.has(`${e.tenant}/${e.session}/${e.message}`)),
        ]);
        return { ...result, figures: { ...result.figures, fsyncAlways: options.control ? 0 : 1 } };
      } finally {
        await after.close();
      }
    }),
};

const ALARM_MS = 10_000;

const diskFull: Row = {
  fault: 14,
  name: "disk full, 64 MB",
  target: "alarm <= 10 s, 0 acknowledged lost, drained after restart with room",
  control: "a loss planted",
  run: (options) =>
    onDisk(options, 64, async (run, disk) => {
      await run.start(join(disk.folder, "nats"), "1s");
      run.load.start();
      await waitUntil(() => run.recorder.answered > 50, { timeoutMs: 60_000, what: "50 answers" });
      const filler = join(disk.folder, "filler");
      const { spawnSync } = await import("node:child_process");
      spawnSync("dd", ["if=/dev/zero", `of=${filler}`, "bs=64k"], { stdio: "ignore" });
      spawnSync("dd", ["if=/dev/zero", `of=${filler}2`, "bs=1k"], { stdio: "ignore" });
      const from = Date.now();
      const [host] = run.cluster.members("conversation");
      await waitUntil(() => host?.unready !== undefined, {
        timeoutMs: 120_000,
        what: "an alarm",
        pollMs: 100,
      });
      const alarmMs = Date.now() - from;
      options.say(`alarm after ${alarmMs} ms: ${host?.unready}`);
      await pause(5_000);
      await run.cluster.nats.kill();
      await rm(filler, { force: true });
      await rm(`${filler}2`, { force: true });
      await run.cluster.nats.restart();
      const before = run.recorder.answered;
      await waitUntil(() => run.recorder.answered > before + 50, {
        timeoutMs: 60_000,
        what: "answers again",
      });
      const result = await run.conclude((all) => (options.control ? loseOne(all) : all));
      await streamState(run.cluster.bus, inboundStream(0));
      const late = alarmMs > ALARM_MS ? [`the alarm came after ${alarmMs} ms, at most ${ALARM_MS}`] : [];
      return { figures: { ...result.figures, alarmMs }, broken: [...result.broken, ...late] };
    }),
};

export const diskRows: readonly Row[] = [powerCut, diskFull];
