// Ids that are written down beside the turns, hundreds of times over: what of them is read again, and how much of it.
import { afterAll, beforeAll, expect, test } from "vitest";
import { IdsIndex, readOldIds } from "#actors/conversation/old-ids.ts";
import { type ConversationState, initialState } from "#actors/conversation/turn.ts";
import { decode, encode } from "#contracts/codec.ts";
import { shardOf } from "#contracts/ids.ts";
import { idsSubject, routeOf, turnsStream } from "#contracts/subjects.ts";
import { CONVERSATION, type IdsRecord } from "#contracts/turn.ts";
import type { SystemActor } from "#runtime/actor/define.ts";
import { type Bus, connectBus } from "#runtime/nats/connect.ts";
import { messagesFrom, purgeBefore } from "#runtime/nats/reader.ts";
import { type Deployment, provision } from "#runtime/nats/topology.ts";
import { createLog } from "#runtime/observe/log.ts";
import { startTestNats, type TestNats } from "#test/harness/nats.ts";

const TENANT = "demo";
const AT_ONCE = 64;

let nats: TestNats;
let bus: Bus;
let deployment: Deployment;
beforeAll(async () => {
  nats = await startTestNats();
  bus = await connectBus({ servers: nats.url, name: "test", log: createLog({ level: "silent" }) });
  deployment = await provision(bus, { shards: 1, pools: ["default"] });
}, 60_000);
afterAll(async () => {
  await bus?.close();
  await nats?.stop();
});

const read = (key: string, last?: number) => readOldIds({ bus, deployment }, TENANT, key, last);
const idsIn = (chunks: Awaited<ReturnType<typeof read>>): number[] => chunks.flatMap(({ ids }) => ids);

/** An actor that remembers the last ids and writes them down: only what the index asks of it. */
class Actor {
  readonly kind = CONVERSATION;
  readonly tenant = TENANT;
  readonly key: string;
  state: ConversationState = { ...initialState(), createdAt: 1 };
  #named = 0;
  #written: Promise<unknown> = Promise.resolve();

  constructor(key: string) {
    this.key = key;
  }

  rememberedIds(): readonly string[] {
    return Array.from({ length: AT_ONCE }, () => `${this.key}-${this.#named++}`);
  }

  append(subject: string, body: () => unknown, onStored: (seq: number) => void): void {
    this.#written = bus.append(subject, encode(body())).then(({ seq }) => onStored(seq));
  }

  /** Ids written down so many times over, by one activation after another. */
  async write(times: number): Promise<void> {
    const index = new IdsIndex({ bus, deployment });
    for (let n = 0; n < times; n++) {
      await index.write(this as unknown as SystemActor<ConversationState>, 0);
      await this.#written;
    }
  }

  /** Place of the last record, as the state has it. */
  get last(): number {
    return this.state.oldIds?.at(-1)?.record as number;
  }

  forget(): void {
    const { oldIds: _, ...state } = this.state;
    this.state = { ...state, idsAt: this.last };
  }
}

async function recordAt(key: string, seq: number): Promise<IdsRecord> {
  const stream = turnsStream(0);
  const [found] = await messagesFrom(bus, stream, idsSubject(0, TENANT, key), seq, 1);
  return decode<IdsRecord>(found?.data as Uint8Array);
}

test("ten thousand ids are read back whole from a handful of records, whoever wrote them in how many lives", async () => {
  expect(shardOf(routeOf({ kind: CONVERSATION, tenant: TENANT, key: "much" }).partition, 1)).toBe(0);
  const actor = new Actor("much");
  for (const times of [1, 15, 20, 60, 61]) {
    await actor.write(times);
    actor.forget();
  }
  const places = (await messagesFrom(bus, turnsStream(0), idsSubject(0, TENANT, "much"), 1, 1_000)).map(
    ({ seq }) => seq,
  );
  expect(places).toHaveLength(157);
  const chunks = await read("much", actor.state.idsAt);
  expect(chunks.map(({ seq }) => seq)).toEqual(places);
  expect(new Set(idsIn(chunks)).size).toBe(157 * AT_ONCE);
  expect(chunks.every(({ ids }) => ids.length === AT_ONCE)).toBe(true);
  const { before } = await recordAt("much", actor.state.idsAt as number);
  expect(before.length).toBeLessThanOrEqual(4);
  expect(await read("much")).toEqual(chunks);
});

test("up to a thousand are all in the last record", async () => {
  const actor = new Actor("some");
  await actor.write(15);
  expect((await recordAt("some", actor.last)).before).toEqual([]);
  expect(idsIn(await read("some", actor.last))).toHaveLength(15 * AT_ONCE);
});

test("records that a retention took are missing, and nothing else is", async () => {
  const actor = new Actor("purged");
  await actor.write(40);
  const { before } = await recordAt("purged", actor.last);
  const [oldest] = before as [number];
  await purgeBefore(bus, turnsStream(0), idsSubject(0, TENANT, "purged"), oldest + 1);
  const chunks = await read("purged", actor.last);
  expect(chunks.length).toBeGreaterThan(0);
  expect(chunks.every(({ record }) => record > oldest)).toBe(true);
});
