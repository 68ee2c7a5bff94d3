/** The bare pipeline as a side: its server, its processes, its client. */
import { rm } from "node:fs/promises";
import { encode } from "#contracts/codec.ts";
import { startNatsServer } from "#runtime/nats/server.ts";
import { createLog } from "#runtime/observe/log.ts";
import { connectTo } from "../compose/open.ts";
import { BARE_TURNS, bareInSubject, paddings, provisionBare } from "./bare-pipeline.ts";
import { startChild } from "./children.ts";
import { Sessions } from "./sessions.ts";
import type { RecordSizes, Side, SideOptions } from "./side.ts";
import { cpuOf, watchTraffic } from "./watch.ts";

export async function startBare(options: SideOptions, sizes: RecordSizes): Promise<Side> {
  const { natsBin: bin, folder: dataDir, sync: syncInterval, shards, hosts, workers, chunks } = options;
  const server = await startNatsServer({ bin, dataDir, port: 0, syncInterval, log: () => {} });
  const bus = await connectTo(server.url, "bare-client", createLog({ level: "warn" }));
  await provisionBare(bus, shards);
  const all = Array.from({ length: shards }, (_, shard) => shard);
  const task = (own: number[]) => ({ natsUrl: server.url, bare: { shards, own, sizes, chunks } });
  const hostChildren = await Promise.all(
    Array.from({ length: hosts }, (_, h) =>
      startChild({ kind: "bare-host", ...task(all.filter((s) => s % hosts === h)) }),
    ),
  );
  const workerChildren = await Promise.all(
    Array.from({ length: workers }, () => startChild({ kind: "bare-worker", ...task([]) })),
  );

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
    async stop() {
      await Promise.all([...hostChildren, ...workerChildren].map((child) => child.stop()));
      await bus.close();
      await server.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
