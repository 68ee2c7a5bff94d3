// What is kept of a conversation while nobody speaks, and what the next host makes of it: a real server, the echo model.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Keeper } from "#actors/conversation/keeper.ts";
import type { StoredState } from "#actors/conversation/stored.ts";
import type { PastTurn } from "#actors/conversation/turn.ts";
import { decode } from "#contracts/codec.ts";
import type { Job } from "#contracts/job.ts";
import {
  actorsBucket,
  BUCKETS,
  bucketStream,
  keptKey,
  routeOf,
  turnSessionFilter,
  turnsStream,
} from "#contracts/subjects.ts";
import { CONVERSATION } from "#contracts/turn.ts";
import { type ActorRecord, decodeRecord } from "#runtime/actor/record.ts";
import { systemClock } from "#runtime/clock.ts";
import { StaleRevision } from "#runtime/nats/connect.ts";
import { shardOfRoute } from "#runtime/nats/inbound.ts";
import { Kv } from "#runtime/nats/kv.ts";
import { purge } from "#runtime/nats/reader.ts";
import { ConversationWorld } from "#test/harness/conversation-world.ts";
import { scan } from "#test/harness/scan.ts";
import { waitUntil } from "#test/harness/wait.ts";

const SOON = { restMs: 20 };
const NEVER = { restMs: 1e9 };

let world: ConversationWorld;
/** What models were shown, by session. */
const shown = new Map<string, string[][]>();
beforeAll(async () => {
  world = await ConversationWorld.start(2);
  world.bus.subscribe("infer.>", ({ data }) => {
    const { session, messages } = decode<Job>(data);
    const said = messages.filter(({ role }) => role === "user").map(({ content }) => content);
    shown.set(session, [...(shown.get(session) ?? []), said]);
  });
  await world.worker({ chunks: 0, replyBytes: 200 });
});
afterAll(() => world?.stop());

const routeTo = (session: string) => routeOf({ kind: CONVERSATION, tenant: "demo", key: session });
function store(session: string) {
  const route = routeTo(session);
  const shard = shardOfRoute(route, world.deployment);
  return { route, shard, kv: new Kv(world.bus, actorsBucket(shard)) };
}
async function recordOf(session: string): Promise<ActorRecord & { revision: number; stored: StoredState }> {
  const { route, kv } = store(session);
  const { value, revision } = await kv.getFromLeader(route.path);
  const record = decodeRecord(value ?? new Uint8Array());
  return { ...record, revision, stored: record.state as StoredState };
}
/** Turns that are kept beside the record, and the revision of the record that they were written behind. */
async function keptOf(session: string): Promise<{ at: number; turns: number[] }> {
  const { route, kv } = store(session);
  const { value } = await kv.getFromLeader(keptKey(route));
  if (!value) return { at: 0, turns: [] };
  const { at, data } = decode<{ at: number; data: { turns: { turn: PastTurn }[] } }>(value);
  return { at, turns: data.turns.map(({ turn }) => turn.turn) };
}
const question = (n: number): string => `Question ${n}?`;
const questions = (last: number): string[] => Array.from({ length: last }, (_, n) => question(n + 1));
/** One turn. @returns all questions that the model was shown with it */
async function ask(session: string, turn: number): Promise<string[] | undefined> {
  await world.send(session, `${session}-${turn}`, question(turn));
  await world.closed(session, turn);
  return shown.get(session)?.at(-1);
}
const atRest = (session: string, turns: number) =>
  waitUntil(async () => (await keptOf(session)).turns.at(-1) === turns, {
    what: `${turns} turns of ${session} to be kept`,
  });
const forgetTurns = (session: string) => {
  const { shard } = store(session);
  return purge(world.bus, turnsStream(shard), turnSessionFilter(shard, "demo", session));
};

describe("a conversation that nobody speaks in", () => {
  test("leaves a small record and, right behind it, its last turns", async () => {
    const host = await world.host({}, SOON);
    for (let n = 1; n <= 3; n++) await ask("calm", n);
    await atRest("calm", 3);
    const { revision, outbox, stored } = await recordOf("calm");
    expect(await keptOf("calm")).toEqual({ at: revision, turns: [1, 2, 3] });
    expect(stored).toMatchObject({ history: [], places: { turn: 3, seqs: expect.any(Array) } });
    expect(outbox).toEqual([]);
    // One turn is in the record itself: nothing is written for it.
    await ask("single", 1);
    await ask("calm", 4);
    await atRest("calm", 4);
    expect(await keptOf("single")).toEqual({ at: 0, turns: [] });
    await world.end(host);
  });

  test("has its history on the next host without a look into TURNS", async () => {
    const host = await world.host({}, SOON);
    for (let n = 1; n <= 3; n++) await ask("moved", n);
    await atRest("moved", 3);
    await world.end(host);
    await forgetTurns("moved");
    const next = await world.host({}, NEVER);
    await world.send("moved", "moved-4", question(4));
    await waitUntil(() => shown.get("moved")?.length === 4, { what: "the question" });
    expect(shown.get("moved")?.at(-1)).toEqual(questions(4));
    await world.end(next);
  });

  test("keeps what it had when it is passivated, and has it when it is asked again", async () => {
    const host = await world.host({ residency: 1 }, NEVER);
    for (let n = 1; n <= 3; n++) await ask("crowded", n);
    await ask("crowd", 1);
    await atRest("crowded", 3);
    await forgetTurns("crowded");
    await world.send("crowded", "crowded-4", question(4));
    await waitUntil(() => shown.get("crowded")?.length === 4, { what: "the question" });
    expect(shown.get("crowded")?.at(-1)).toEqual(questions(4));
    await world.end(host);
  });
});

describe("a conversation whose host died while it was spoken in", () => {
  test("has what was kept before, and what was said since from TURNS", async () => {
    const first = await world.host({}, SOON);
    for (let n = 1; n <= 3; n++) await ask("broken", n);
    await atRest("broken", 3);
    await world.end(first);
    const second = await world.host({}, NEVER);
    for (let n = 4; n <= 6; n++) await ask("broken", n);
    await world.end(second);
    expect((await keptOf("broken")).turns).toEqual([1, 2, 3]);
    const third = await world.host({}, NEVER);
    expect(await ask("broken", 7)).toEqual(questions(7));
    await world.end(third);
  });

  test("has all of it from TURNS where nothing was kept, or newer code has kept it", async () => {
    const host = await world.host({}, NEVER);
    for (let n = 1; n <= 3; n++) await ask("bare", n);
    await world.end(host);
    expect((await keptOf("bare")).turns).toEqual([]);
    const { route, kv } = store("bare");
    await kv.put(keptKey(route), Buffer.from([0x82, 0xa2, 0x61, 0x74, 1, 0xa4, 0x64, 0x61, 0x74, 0x61, 9]));
    const next = await world.host({}, NEVER);
    expect(await ask("bare", 4)).toEqual(questions(4));
    await world.end(next);
  });
});

describe("a conversation that is erased", () => {
  test("leaves nothing of what was kept, and who lost it keeps nothing behind it", async () => {
    const host = await world.host({}, SOON);
    await ask("gone", 1);
    await ask("gone", 2);
    await atRest("gone", 2);
    const { route, kv, shard } = store("gone");
    const { revision } = await recordOf("gone");
    expect((await scan(world.bus, [question(2)])).map(({ stream }) => stream)).toContain(
      bucketStream(actorsBucket(shard)),
    );
    expect(await world.client.erase("demo", "gone")).toMatchObject({ turns: 2 });
    await waitUntil(async () => (await scan(world.bus, ["gone-1", "gone-2"])).length === 0, {
      what: "nothing of it to be left",
    });
    expect((await kv.getFromLeader(keptKey(route))).value).toBeUndefined();
    await expect(
      kv.putWhile(keptKey(route), Buffer.from("late"), { key: route.path, revision }),
    ).rejects.toBeInstanceOf(StaleRevision);
    await world.end(host);
  });
});

test("what is kept goes with the oldest turn in it", async () => {
  const host = await world.host({ retention: { days: 30 } }, SOON);
  await ask("aging", 1);
  await ask("aging", 2);
  await atRest("aging", 2);
  const { route, kv, shard } = store("aging");
  const { revision: seq } = await kv.getFromLeader(keptKey(route));
  const message = await world.bus.jsm.streams.getMessage(bucketStream(actorsBucket(shard)), { seq });
  const seconds = Number(/^(\d+)s$/.exec(message?.header.get("Nats-TTL") ?? "")?.[1]);
  expect(seconds).toBeLessThanOrEqual(30 * 86_400);
  expect(seconds).toBeGreaterThan(30 * 86_400 - 600);
  await world.end(host);

  // A retention that has become shorter takes what was to be kept for longer, once; a longer one takes nothing.
  const turned = async (days: number): Promise<boolean> => {
    const keeper = new Keeper({
      bus: world.bus,
      clock: systemClock,
      log: world.bus.log,
      instance: "keeper",
      shards: world.deployment.shards,
      retention: { days },
    });
    await new Kv(world.bus, BUCKETS.placement).drop("lease.keeper");
    await keeper.round();
    await keeper.stop();
    return (await kv.getFromLeader(keptKey(route))).value !== undefined;
  };
  const keptAnew = () => kv.put(keptKey(route), message?.data as Uint8Array);
  // The host's own keeper may have done so already.
  await turned(30);
  await keptAnew();
  expect(await turned(30)).toBe(true);
  expect(await turned(60)).toBe(true);
  expect(await turned(20)).toBe(false);
});
