// Turns that leave the deployment and come back, and turns whose time is over: a real server, a folder and a small S3
// server that checks signatures. `JETCLAW_TEST_S3=s3://bucket/prefix` with the AWS variables tries a real one as well.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { exportShard, readManifest } from "#actors/conversation/archive.ts";
import { type ArchiveStore, openArchive } from "#actors/conversation/archive-store.ts";
import { Keeper } from "#actors/conversation/keeper.ts";
import { restoreTurns } from "#actors/conversation/restoring.ts";
import { decode, encode } from "#contracts/codec.ts";
import { shardOf, tokenOf } from "#contracts/ids.ts";
import type { Job } from "#contracts/job.ts";
import { LIMITS } from "#contracts/limits.ts";
import {
  BUCKETS,
  inferSessionFilter,
  routeOf,
  turnSubject,
  turnsFilter,
  turnsStream,
} from "#contracts/subjects.ts";
import { CONVERSATION, RECORD_VERSION, type TurnRecord } from "#contracts/turn.ts";
import { NO_USAGE } from "#contracts/usage.ts";
import { askActor } from "#runtime/actor/client.ts";
import { systemClock } from "#runtime/clock.ts";
import { Kv } from "#runtime/nats/kv.ts";
import { messagesFrom, purge } from "#runtime/nats/reader.ts";
import { createLog } from "#runtime/observe/log.ts";
import { ConversationWorld } from "#test/harness/conversation-world.ts";
import { S3_KEYS, startTestS3, type TestS3 } from "#test/harness/s3-server.ts";
import { PATIENCE_MS, waitUntil } from "#test/harness/wait.ts";

const SHARDS = 2;
const DAY_MS = 86_400_000;
const log = createLog({ level: "silent" });
const NO_ACCESS = {
  endpoint: undefined,
  region: undefined,
  accessKeyId: undefined,
  secretAccessKey: undefined,
};

let world: ConversationWorld;
let s3: TestS3;
let folder: string;
let names = 0;
beforeAll(async () => {
  world = await ConversationWorld.start(SHARDS);
  await world.host();
  await world.worker({ chunks: 0, replyBytes: 200 });
  s3 = await startTestS3();
  folder = await mkdtemp(join(tmpdir(), "jetclaw-archive-"));
});
const purgeAll = async (): Promise<void> => {
  for (let shard = 0; shard < SHARDS; shard++) await purge(world.bus, turnsStream(shard), turnsFilter(shard));
};
beforeEach(purgeAll);
afterAll(async () => {
  await world?.stop();
  await s3?.stop();
  if (folder) await rm(folder, { recursive: true, force: true });
});

const inS3 = (secretAccessKey = S3_KEYS.secretAccessKey): ArchiveStore =>
  openArchive(`s3://backup/turns-${++names}`, { ...S3_KEYS, secretAccessKey, endpoint: s3.endpoint });
const exportAll = async (store: ArchiveStore, beforeAt = Date.now() + DAY_MS): Promise<number> => {
  let parts = 0;
  for (let shard = 0; shard < SHARDS; shard++)
    await exportShard({ bus: world.bus }, store, shard, { beforeAt, onPart: () => void parts++ });
  return parts;
};
const restore = (store: ArchiveStore, session?: string) =>
  restoreTurns(world.bus, systemClock, store, { session });
const talk = async (session: string, turns: number): Promise<void> => {
  for (let n = 1; n <= turns; n++) {
    await world.send(session, `${session}-${n}`, `Question ${n} of ${session}?`);
    await world.closed(session, n);
  }
};
/** Turns of a tenant that nobody hosts a conversation for. */
const recordOf = (tenant: string, session: string, turn: number): TurnRecord => ({
  v: RECORD_VERSION,
  type: "turn",
  id: `${tenant}.${session}.${turn}`,
  tenant,
  session,
  turn,
  channel: "web",
  assistant: "default",
  messages: [{ id: `m${turn}`, text: "?", at: 1 }],
  outcome: "answered",
  reply: "!",
  citations: [],
  model: "echo",
  cached: false,
  usage: NO_USAGE,
  attempts: 1,
  startedAt: 1,
  at: Date.now(),
});
const append = async (tenant: string, count: number): Promise<void> => {
  for (let n = 1; n <= count; n++) {
    const session = `s${n % 3}`;
    const { partition } = routeOf({ kind: CONVERSATION, tenant, key: session });
    await world.bus.append(
      turnSubject(shardOf(partition, SHARDS), "web", tenant, session),
      encode(recordOf(tenant, session, n)),
    );
  }
};
const stored = async (tenant: string): Promise<number> => {
  let count = 0;
  for (let shard = 0; shard < SHARDS; shard++)
    count += (await messagesFrom(world.bus, turnsStream(shard), `turn.${shard}.*.${tenant}.*`, 1, 1_000))
      .length;
  return count;
};

describe.each([
  ["a folder", () => openArchive(`file://${join(folder, `${++names}`)}`, NO_ACCESS)],
  ["an S3 bucket", () => inS3()],
])("exported to %s", (_, open) => {
  test("a conversation comes back as it was, once, and an erased one never", async () => {
    const store = open();
    const [kept, erased] = [`kept-${names}`, `erased-${names}`];
    await talk(kept, 2);
    await talk(erased, 1);
    await world.client.feedback("demo", kept, 2, "up");
    const before = await world.client.transcript("demo", kept);
    expect(await exportAll(store)).toBeGreaterThan(0);
    await world.client.erase("demo", erased);
    await purgeAll();

    expect(await restore(store)).toEqual({ restored: 3, present: 0, erased: 1 });
    await world.closed(kept, 2);
    expect(await world.client.transcript("demo", kept)).toEqual(before);
    expect(await world.client.transcript("demo", erased)).toBeUndefined();
    expect(await restore(store, kept)).toEqual({ restored: 0, present: 3, erased: 0 });
    await talk(kept, 3);
  });

  test("only what is new is written the next time", async () => {
    const store = open();
    await append("acme", 6);
    await exportAll(store);
    expect(await exportAll(store)).toBe(0);
    await append("acme", 2);
    await exportAll(store);
    const manifests = await Promise.all([0, 1].map((shard) => readManifest(store, shard)));
    const parts = manifests.flatMap((manifest) => manifest.parts);
    expect(parts.reduce((sum, { records }) => sum + records, 0)).toBe(8);
    expect(new Set(parts.map(({ key }) => key)).size).toBe(parts.length);
  });
});

describe("a conversation of which nothing is left", () => {
  const to = { kind: CONVERSATION, tenant: "gone", key: "s1" };
  const turnsOf = async () => (await world.client.transcript("gone", "s1"))?.turns.map(({ turn }) => turn);
  const restoreOf = (records: TurnRecord[]) =>
    askActor(world.bus, systemClock, to, "restore", { records }, PATIENCE_MS);

  test("comes back in parts, the newer one first", async () => {
    const records = [1, 2, 3].map((turn) => ({
      ...recordOf("gone", "s1", turn),
      startedAt: turn * 1_000,
      at: turn * 1_000 + 500,
    }));
    expect(await restoreOf(records.slice(2))).toEqual({ restored: 1, present: 0, erased: 0 });
    expect(await restoreOf(records)).toEqual({ restored: 2, present: 1, erased: 0 });
    await waitUntil(async () => (await turnsOf())?.length === 3, { what: "all turns" });
    expect(await turnsOf()).toEqual([1, 2, 3]);
  });

  test("goes on with what was said before, also where nothing of it was left", async () => {
    const to = { kind: CONVERSATION, tenant: "gone", key: "again" };
    const records = [1, 2].map((turn) => ({ ...recordOf("gone", "again", turn), reply: `Answer ${turn}` }));
    const restored = await askActor(world.bus, systemClock, to, "restore", { records }, PATIENCE_MS);
    expect(restored).toMatchObject({ restored: 2 });
    const jobs: Job[] = [];
    const filter = inferSessionFilter("default", "gone", "again");
    const listening = world.bus.subscribe(filter, ({ data }) => void jobs.push(decode<Job>(data)));
    await world.bus.flush();
    const body = { parts: [{ type: "text" as const, text: "And now?" }], channel: "web" };
    await world.client.send({ tenant: "gone", session: "again", id: "m3", body });
    const job = await waitUntil(() => jobs[0], { what: "the next job" });
    listening.stop();
    const said = job.messages.filter(({ role }) => role === "assistant").map(({ content }) => content);
    expect([job.turn, ...said]).toEqual([3, "Answer 1", "Answer 2"]);
  });

  test("comes back also where its turns together are more than one message holds", async () => {
    const store = inS3();
    const { partition } = routeOf({ kind: CONVERSATION, tenant: "gone", key: "long" });
    const reply = "x".repeat(LIMITS.envelopeBytes / 20);
    for (let turn = 1; turn <= 30; turn++)
      await world.bus.append(
        turnSubject(shardOf(partition, SHARDS), "web", "gone", "long"),
        encode({ ...recordOf("gone", "long", turn), reply }),
      );
    await exportAll(store);
    for (let shard = 0; shard < SHARDS; shard++)
      await purge(world.bus, turnsStream(shard), turnsFilter(shard));
    expect(await restore(store)).toEqual({ restored: 30, present: 0, erased: 0 });
    await waitUntil(async () => (await stored("gone")) === 30, { what: "all turns" });
  });

  test("comes back also where it had more turns in a day than an actor is given at once", async () => {
    const store = inS3();
    const turns = LIMITS.restoredRecords + 1;
    const { partition } = routeOf({ kind: CONVERSATION, tenant: "gone", key: "busy" });
    const subject = turnSubject(shardOf(partition, SHARDS), "web", "gone", "busy");
    const records = Array.from({ length: turns }, (_, n) => encode(recordOf("gone", "busy", n + 1)));
    await Promise.all(records.map((record) => world.bus.append(subject, record)));
    await exportAll(store);
    await purgeAll();
    expect(await restore(store)).toEqual({ restored: turns, present: 0, erased: 0 });
    await waitUntil(async () => (await stored("gone")) === turns, { what: "all turns" });
  });

  test("is not said to be back where its actor could not take what it was given", async () => {
    const store = inS3();
    const { partition } = routeOf({ kind: CONVERSATION, tenant: "gone", key: "odd" });
    await world.bus.append(
      turnSubject(shardOf(partition, SHARDS), "web", "gone", "odd"),
      encode({ ...recordOf("gone", "odd", 1), outcome: "of code to come" }),
    );
    await append("gone", 3);
    await exportAll(store);
    await purgeAll();
    await expect(restore(store)).rejects.toMatchObject({
      code: "actor.handler-failed",
      detail: expect.stringContaining("gone/odd"),
    });
    await waitUntil(async () => (await stored("gone")) === 3, { what: "the turns of the others" });
  });
});

describe("an archive that fails", () => {
  test("in the middle of an export is completed by the next one, nothing twice", async () => {
    const store = inS3();
    await append("first", 4);
    await append("second", 4);
    let puts = 0;
    const failing: ArchiveStore = {
      get: (key) => store.get(key),
      put: async (key, bytes) => {
        if (++puts === 2) throw new Error("the line is cut");
        return store.put(key, bytes);
      },
    };
    await expect(exportAll(failing)).rejects.toThrow("the line is cut");
    await exportAll(store);
    const manifests = await Promise.all([0, 1].map((shard) => readManifest(store, shard)));
    const records = manifests.flatMap(({ parts }) => parts).reduce((sum, part) => sum + part.records, 0);
    expect(records).toBe(8);
  });

  test("because nothing is in it is no restore, and one of another deployment is not gone on with", async () => {
    const store = inS3();
    await expect(restore(store)).rejects.toMatchObject({ code: "archive.unavailable" });
    const strange = [{ upToSeq: 1_000_000 }, { upToSeq: 0, origin: "2026-01-01T00:00:00Z" }];
    for (const manifest of strange) {
      await store.put(
        "manifest-0.json",
        Buffer.from(JSON.stringify({ v: 1, shard: 0, parts: [], ...manifest })),
      );
      await expect(exportAll(store)).rejects.toMatchObject({
        code: "archive.unavailable",
        detail: expect.stringContaining("another deployment"),
      });
    }
  });

  test("for a moment is asked again; with a wrong key it is said so", async () => {
    const store = inS3();
    await append("acme", 1);
    s3.failing = 2;
    expect(await exportAll(store)).toBe(1);
    await expect(exportAll(inS3("wrong"))).rejects.toMatchObject({
      code: "archive.unavailable",
      detail: expect.stringContaining("SignatureDoesNotMatch"),
    });
  });

  test("is older than tombstones: nothing of it comes back unless it is forced", async () => {
    const store = inS3();
    await append("acme", 3);
    await exportAll(store);
    await purgeAll();
    const later = { ...systemClock, now: () => Date.now() + LIMITS.tombstoneAgeMs + 2 * DAY_MS };
    const restoreThen = (options: object) => restoreTurns(world.bus, later, store, options);
    await expect(restoreThen({})).rejects.toMatchObject({
      code: "archive.too-old",
      detail: expect.stringMatching(/[12] parts are of days before \d{4}-\d\d-\d\d/),
    });
    expect(await stored("acme")).toBe(0);
    expect(await restoreThen({ since: "9999-01-01" })).toMatchObject({ restored: 0 });
    expect(await restoreThen({ force: true })).toMatchObject({ restored: 3 });
  });

  test("is damaged: what was changed is found and not restored", async () => {
    const store = inS3();
    await append("acme", 3);
    await exportAll(store);
    for (const [path, bytes] of s3.objects)
      if (path.includes(`turns-${names}/`) && path.endsWith(".gz"))
        bytes[bytes.length - 9] = 255 - (bytes[bytes.length - 9] as number);
    await expect(restore(store)).rejects.toMatchObject({ code: "archive.damaged" });
  });
});

describe("retention", () => {
  const keeper = (archive: ArchiveStore | undefined, instance = "keeper") =>
    new Keeper({
      bus: world.bus,
      log,
      instance,
      shards: SHARDS,
      archive,
      clock: { ...systemClock, now: () => Date.now() + 40 * DAY_MS },
      retention: { days: 30, tenants: { longer: { days: 60 }, "odd.tenant": { days: 10 } } },
    });
  const giveBack = () => new Kv(world.bus, BUCKETS.placement).drop("lease.keeper");

  test("ends by tenant, and never before the archive has what it ends", async () => {
    await append("acme", 5);
    await append("longer", 5);
    await append("odd.tenant", 5);
    const odd = tokenOf("odd.tenant");
    const store = inS3();
    const broken: ArchiveStore = {
      get: (key) => store.get(key),
      put: () => Promise.reject(new Error("full")),
    };
    await giveBack();
    await expect(keeper(broken).round()).rejects.toThrow("full");
    expect(await Promise.all(["acme", "longer", odd].map(stored))).toEqual([5, 5, 5]);
    await keeper(store).round();
    expect(await Promise.all(["acme", "longer", odd].map(stored))).toEqual([0, 5, 0]);
    const manifests = await Promise.all([0, 1].map((shard) => readManifest(store, shard)));
    const records = manifests.flatMap(({ parts }) => parts).reduce((sum, part) => sum + part.records, 0);
    expect(records).toBe(15);
  });

  test("stands in nobody's way who drains: an archive that hangs is left where it is", async () => {
    await append("acme", 4);
    const store = inS3();
    const { promise, resolve } = Promise.withResolvers<void>();
    const hanging: ArchiveStore = {
      get: (key) => store.get(key),
      put: () => {
        resolve();
        return new Promise(() => {});
      },
    };
    await giveBack();
    const waiting = keeper(hanging, "hanging");
    waiting.start();
    await promise;
    await waiting.stop();
    // Its lease is given back, and another one does the work.
    await keeper(store, "next").round();
    expect(await stored("acme")).toBe(0);
  });

  test("without an archive purges what is over, and one keeper at a time", async () => {
    await append("acme", 4);
    await giveBack();
    await Promise.all([keeper(undefined, "a").round(), keeper(undefined, "b").round()]);
    expect(await stored("acme")).toBe(0);
  });
});

test.skipIf(!process.env.JETCLAW_TEST_S3)("a real S3 server takes an export and gives it back", async () => {
  const store = openArchive(`${process.env.JETCLAW_TEST_S3}/${Date.now()}`, {
    endpoint: process.env.AWS_ENDPOINT_URL,
    region: process.env.AWS_REGION,
    accessKeyId: process.env.AWS_ACCESS_KEY_ID,
    secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY,
  });
  await append("acme", 3);
  expect(await exportAll(store)).toBeGreaterThan(0);
});
