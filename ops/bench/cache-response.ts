/** What a look-up at the response level costs: an entry in memory, one in KV alone, and none. A real NATS, one process. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { LeveledCache } from "#actors/cache/answer-cache.ts";
import type { CacheQuery } from "#actors/cache/port.ts";
import type { Passage } from "#contracts/job.ts";
import { connectBus } from "#runtime/nats/connect.ts";
import { startNatsServer } from "#runtime/nats/server.ts";
import { provision } from "#runtime/nats/topology.ts";
import { createLog } from "#runtime/observe/log.ts";
import { startCleanly } from "./cleanup.ts";
import { quantile, randomFrom, round, textOf } from "./shape.ts";

export interface ResponseLookups {
  readonly natsBin: string;
  /** For the server's data; it is taken away again. */
  readonly folder: string;
  readonly lookups: number;
  readonly seed: number;
}

const ENTRIES = 500;
const WARM_UP = 200;
/** Nothing is held: every look-up asks KV. */
const NO_MEMORY_BYTES = 1;
const REPLY_BYTES = 600;
const REVISION = 1;
const CHANGE = { revision: REVISION, storedAt: 0 };
const DOCUMENT = { collection: "c", document: "d" };

export async function responseLookups(options: ResponseLookups): Promise<Record<string, number>> {
  return await startCleanly(async (cleanup) => {
    const dataDir = join(options.folder, "response");
    cleanup.add(() => rm(dataDir, { recursive: true, force: true }));
    const log = createLog({ level: "error" });
    const bin = { bin: options.natsBin, dataDir, port: 0, syncInterval: "1s", log: () => {} } as const;
    const server = await startNatsServer(bin);
    cleanup.add(() => server.stop());
    const bus = await connectBus({ servers: server.url, name: "bench", log });
    cleanup.add(() => bus.close());
    await provision(bus, { shards: 1, pools: [] });
    const revisions = { changeOf: () => CHANGE, fresh: () => true, position: REVISION, newestAt: 0 };
    const near = new LeveledCache(bus, { revisions, log });
    const far = new LeveledCache(bus, { revisions, log, memoryBytes: NO_MEMORY_BYTES });
    near.start();
    cleanup.add(() => near.stop());
    cleanup.add(() => far.stop());
    const random = randomFrom(options.seed);
    const reply = textOf(REPLY_BYTES, random);
    for (let n = 0; n < ENTRIES; n++) {
      const citation = { ...DOCUMENT, revision: REVISION, title: "d", passage: reply };
      await near.store(
        queryOf(`question ${n}`),
        { reply, citations: [citation], model: "m" },
        `session-${n}`,
      );
    }
    const known = (): string => `question ${Math.floor(random() * ENTRIES)}`;
    let asked = 0;
    const unknown = (): string => `unknown ${asked++}`;
    const figures = {
      ...(await timed("memoryHit", near, options.lookups, known, true)),
      ...(await timed("kvHit", far, options.lookups, known, true)),
      ...(await timed("kvMiss", near, options.lookups, unknown, false)),
    };
    await cleanup.run();
    return figures;
  });
}

/** One look-up after the other. @throws where one does not end as it has to: its time would say nothing */
async function timed(
  name: string,
  cache: LeveledCache,
  lookups: number,
  question: () => string,
  hits: boolean,
): Promise<Record<string, number>> {
  const times: number[] = [];
  for (let n = -WARM_UP; n < lookups; n++) {
    const query = queryOf(question());
    const from = performance.now();
    const hit = await cache.lookup(query, "response");
    if (n >= 0) times.push(performance.now() - from);
    if ((hit !== undefined) !== hits)
      throw new Error(`${name}: "${query.question}" is ${hits ? "not" : ""} there`);
  }
  return { [`${name}P50Ms`]: round(quantile(times, 0.5)), [`${name}P99Ms`]: round(quantile(times, 0.99)) };
}

function queryOf(question: string): CacheQuery {
  const passage: Passage = { ...DOCUMENT, ...CHANGE, title: "d", text: "what it says", score: 1 };
  const scope = { tenant: "bench", assistant: "a", assistantVersion: "1", tier: "small", locale: "en" };
  return { ...scope, question, passages: [passage], position: CHANGE };
}
