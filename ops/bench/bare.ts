/** The bare pipeline as a side: its server, its processes, its client. */
import { rm } from "node:fs/promises";
import { encode } from "#contracts/codec.ts";
import { startNatsServer } from "#runtime/nats/server.ts";
import { createLog } from "#runtime/observe/log.ts";
import { connectTo } from "../compose/open.ts";
import { BARE_TURNS, bareInSubject, paddings, provisionBare } from "./bare-pipeline.ts";
import type { ChildTask } from "./child.ts";
import { startChildren } from "./children.ts";
import { type Cleanup, startCleanly } from "./cleanup.ts";
import { Sessions } from "./sessions.ts";
import type { RecordSizes, Side, SideOptions } from "./side.ts";
import { cpuOf, watchTraffic } from "./watch.ts";

export const startBare = (options: SideOptions, sizes: RecordSizes): Promise<Side> =>
  startCleanly((cleanup) => start(options, sizes, cleanup));

async function start(options: SideOptions, sizes: RecordSizes, cleanup: Cleanup): Promise<Side> {
  const {
    natsBin: bin,
    folder: dataDir,
    sync: syncInterval,
    shards,
    hosts,
    workers,
    chunks,
    chunkMs = 0,
  } = options;
  cleanup.add(() => rm(dataDir, { recursive: true, force: true }));
  const server = await startNatsServer({ bin, dataDir, port: 0, syncInterval, log: () => {} });
  const bus = await connectTo(server.url, "bare-client", createLog({ level: "warn" }));
  cleanup.add(server.stop);
  cleanup.add(() => bus.close());
  await provisionBare(bus, shards);
  const all = Array.from({ length: shards }, (_, shard) => shard);
  const task = (kind: "bare-host" | "bare-worker", own: number[]): ChildTask => ({
    kind,
    natsUrl: server.url,
    bare: { shards, own, sizes, chunks, chunkMs },
  });
  const hostChildren = await startChildren(
    Array.from({ length: hosts }, (_, h) =>
      task(
        "bare-host",
        all.filter((s) => s % hosts === h),
      ),
    ),
    cleanup,
  );
  const workerTasks = Array.from({ length: workers }, () => task("bare-worker", []));
  const workerChildren = await startChildren(workerTasks, cleanup);

  const sessions = new Sessions(options.sessions, options.turnsPerSession, "b");
  const pad = paddings(sizes).message;
  bus.subscribe(BARE_TURNS, ({ subject }) => sessions.answered(subject.slice(subject.lastIndexOf(".") + 1)));
  await bus.flush();
  return {
    name: "bare pipeline",
    turn: () =>
      sessions.run(({ session, turn, last }) =>
        bus.append(bareInSubject(session, shards), encode({ kind: "user", session, turn, last, pad })),
      ),
    watch: (during) =>
      watchTraffic(
        bus,
        [
          ["message", "barein.>"],
          ["job", "barejob.>"],
          ["state", "$KV.>"],
          ["turn", BARE_TURNS],
          ["chunk", "baretok.>"],
        ],
        during,
      ),
    cpu: () => cpuOf(hostChildren, workerChildren, server.pid),
    hostRssMb: async () =>
      (await Promise.all(hostChildren.map((child) => child.usage()))).map(({ rssMb }) => rssMb),
    stop: () => cleanup.run(),
  };
}
