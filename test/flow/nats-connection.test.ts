// What a process keeps of its connection when something of its own fails: handlers that throw, requests that nobody
// will answer any more, queues that are not there.
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Pump } from "#actors/inference/pump.ts";
import type { PumpQueue } from "#actors/inference/pump-queue.ts";
import { encode } from "#contracts/codec.ts";
import { BUCKETS, bucketSubject, inferStream, inferSubject, KNOWLEDGE } from "#contracts/subjects.ts";
import { type Bus, connectBus } from "#runtime/nats/connect.ts";
import { follow } from "#runtime/nats/follow.ts";
import { Kv } from "#runtime/nats/kv.ts";
import { Outbound } from "#runtime/nats/outbound.ts";
import { makePlainStream } from "#runtime/nats/plain-stream.ts";
import { messagesFrom } from "#runtime/nats/reader.ts";
import { provision, readDeployment } from "#runtime/nats/topology.ts";
import { WorkQueue } from "#runtime/nats/work-queue.ts";
import { createLog } from "#runtime/observe/log.ts";
import { startTestNats, type TestNats } from "#test/harness/nats.ts";
import { waitUntil } from "#test/harness/wait.ts";

const log = createLog({ level: "silent" });
const IN_TIME = { what: "what was sent to be heard" };
let nats: TestNats;
let bus: Bus;
let errors: unknown[] = [];

beforeAll(async () => {
  nats = await startTestNats();
  bus = await connectBus({
    servers: nats.url,
    name: "test",
    log: Object.assign(Object.create(log), { error: (said: unknown) => void errors.push(said) }),
  });
  await provision(bus, { shards: 1, pools: [] });
});
afterEach(() => {
  errors = [];
});
afterAll(async () => {
  await bus?.close();
  await nats?.stop();
});

test("a handler that throws is told to the log, and the connection goes on hearing", async () => {
  const heard: string[] = [];
  const bad = bus.subscribe("bad.>", ({ subject }) => {
    throw new Error(`cannot read ${subject}`);
  });
  const good = bus.subscribe("good.>", ({ subject }) => void heard.push(subject));
  bus.publish("bad.1", encode({}));
  bus.publish("good.1", encode({}));
  await waitUntil(async () => heard.length === 1, IN_TIME);
  bus.publish("good.2", encode({}));
  await waitUntil(async () => heard.length === 2, IN_TIME);
  expect(errors).toHaveLength(1);
  bad.stop();
  good.stop();
});

test("a watcher that throws at an entry gets the next ones", async () => {
  const kv = new Kv(bus, BUCKETS.config);
  const seen: number[] = [];
  const watch = await kv.watch("watched", ({ revision }) => {
    seen.push(revision);
    if (seen.length === 1) throw new Error("cannot read the first one");
  });
  const first = await kv.put("watched", encode(1));
  await waitUntil(async () => seen.length === 1, IN_TIME);
  const second = await kv.put("watched", encode(2));
  await waitUntil(async () => seen.length === 2, IN_TIME);
  expect(seen).toEqual([first, second]);
  expect(errors).toHaveLength(1);
  watch.stop();
});

test("who follows a stream that lost its end, or was made anew, hears what comes then", async () => {
  const stream = { name: "FOLLOWED", subjects: ["followed.>"], kind: "log" } as const;
  await makePlainStream(bus, stream);
  const heard: string[] = [];
  const onMessage = ({ subject }: { subject: string }): void => void heard.push(subject);
  for (const n of [1, 2, 3]) await bus.append(`followed.${n}`, encode({}));
  const follower = await follow(bus, { stream: stream.name, filter: "followed.>", from: "all", onMessage });
  await bus.jsm.streams.delete(stream.name);
  await makePlainStream(bus, stream);
  // Its first has a number below all that were seen.
  await bus.append("followed.4", encode({}));
  await waitUntil(() => heard.length >= 4, IN_TIME);
  expect(heard).toEqual(["followed.1", "followed.2", "followed.3", "followed.4"]);
  await follower.stop();
});

test("what waits for an acknowledgement fails at once when its connection is closed", async () => {
  const other = await connectBus({ servers: nats.url, name: "closing", log });
  // Somebody listens and never answers: nothing but the close can end the wait.
  const deaf = bus.subscribe("deaf", () => {});
  await bus.flush();
  const waiting = other.append("deaf", encode({}), { timeoutMs: 600_000 });
  const failed = expect(waiting).rejects.toMatchObject({ code: "nats.unavailable" });
  await other.flush();
  await other.close();
  await failed;
  deaf.stop();
});

test("a stream that stores nothing shows until it does, whatever else is stored", async () => {
  const pool = "late";
  const subject = inferSubject({ pool, cls: "new", lane: 0, tenant: "t", session: "s" });
  expect(bus.stalled).toBe(false);
  await expect(bus.append(subject, encode({}))).rejects.toMatchObject({ code: "nats.unavailable" });
  expect(bus.stalled).toBe(true);
  await new Kv(bus, BUCKETS.config).put("other", encode(1));
  expect(bus.stalled).toBe(true);
  await provision(bus, { shards: 1, pools: [pool] });
  await bus.append(subject, encode({}));
  expect(bus.stalled).toBe(false);
});

test("what provisioning cannot do is told with what helps, and changes nothing", async () => {
  const wish = { shards: 1, pools: [], replicas: 3 };
  await expect(provision(bus, wish)).rejects.toMatchObject({
    code: "start.refused",
    detail: expect.stringMatching(/^replicas: 3 needs a cluster.*configure replicas: 1/),
  });
  expect(await readDeployment(bus)).toMatchObject({ replicas: 1 });
  const config = new Kv(bus, BUCKETS.config);
  const { value = new Uint8Array() } = await config.getFromLeader("deployment");
  await config.put("deployment", new TextEncoder().encode("of another program"));
  for (const read of [readDeployment(bus), provision(bus, { pools: [] })])
    await expect(read).rejects.toMatchObject({
      code: "start.refused",
      detail: expect.stringContaining('"deployment" in the bucket config cannot be read'),
    });
  await config.put("deployment", value);
});

test("what went down with its connection counts until anything is stored again", async () => {
  const own = await startTestNats();
  const other = await connectBus({ servers: own.url, name: "loses", log });
  try {
    await provision(other, { shards: 1, pools: [] });
    // Somebody listens and never answers: nothing but the loss can end the wait.
    other.subscribe("deaf", () => {});
    const lost = expect(other.append("deaf", encode({}), { timeoutMs: 600_000 })).rejects.toMatchObject({
      code: "nats.unavailable",
    });
    await other.flush();
    await own.kill();
    await own.restart();
    await lost;
    await waitUntil(() => other.online, IN_TIME);
    await new Kv(other, BUCKETS.config).put("any", encode(1));
    expect(other.stalled).toBe(false);
  } finally {
    await other.close();
    await own.stop();
  }
});

test("a queue that cannot be opened leaves nothing behind", async () => {
  const subscriptions = (): number =>
    (bus.nc as unknown as { protocol: { subscriptions: { all(): unknown[] } } }).protocol.subscriptions.all()
      .length;
  const before = subscriptions();
  for (let n = 0; n < 3; n++)
    await expect(WorkQueue.open(bus, "nowhere")).rejects.toMatchObject({ code: "nats.unavailable" });
  // A closed channel listens for another second, to give back what is under way.
  await waitUntil(async () => subscriptions() <= before, { what: "no channel to listen" });
});

/** What was published leaves, and its answer comes while nothing is read. */
async function standStill(ms: number): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  for (const until = performance.now() + ms; performance.now() < until; );
}

test("a job that arrived while its worker stood still is taken, not given back", async () => {
  const pool = "still";
  await provision(bus, { pools: [pool] });
  const queue = await WorkQueue.open(bus, pool);
  await bus.append(inferSubject({ pool, cls: "new", lane: 0, tenant: "t", session: "s" }), encode({}));
  const taking = queue.take("new", 0, 1);
  await standStill(1_500);
  expect((await taking).map(({ deliveries }) => deliveries)).toEqual([1]);
  queue.close();
});

test("an acknowledgement that arrived while its process stood still is heard", async () => {
  const storing = bus.append(bucketSubject(BUCKETS.config, "still"), encode({}), { timeoutMs: 200 });
  await standStill(500);
  await expect(storing).resolves.toMatchObject({ duplicate: false });
});

test("a client that moves goes to another server, also the first time", async () => {
  const other = await startTestNats();
  const moving = await connectBus({ servers: [nats.url, other.url], name: "moving", log });
  try {
    const before = moving.nc.getServer();
    const back = Promise.withResolvers<void>();
    moving.onReconnect(back.resolve);
    await moving.nc.reconnect();
    await back.promise;
    expect(moving.nc.getServer()).not.toBe(before);
  } finally {
    await moving.close();
    await other.stop();
  }
});

test("a client leaves a server that reads nothing any more, whatever still waits to be written to it", async () => {
  const servers = [await startTestNats(), await startTestNats()];
  const leaving = await connectBus({ servers: servers.map(({ url }) => url), name: "leaving", log });
  const before = leaving.nc.getServer();
  const deaf = servers.find(({ port }) => before.endsWith(`:${port}`));
  try {
    deaf?.freeze();
    // More than the system takes for both ends of a socket.
    for (let n = 0; n < 40; n++) leaving.publish("nobody", new Uint8Array(1_000_000));
    await new Promise(setImmediate);
    await leaving.nc.reconnect();
    await waitUntil(() => leaving.nc.getServer() !== before && leaving.online, { what: "another server" });
  } finally {
    deaf?.thaw();
    await leaving.close();
    for (const server of servers) await server.stop();
  }
});

test("reads and writes go past the queues of the nats.js that is installed, also after a reconnect", async () => {
  const other = await connectBus({ servers: nats.url, name: "direct", log });
  const { protocol } = other.nc as unknown as {
    protocol: { outbound: unknown; transport: { socket: NodeJS.ReadableStream } };
  };
  const expectDirect = (): void => {
    expect(protocol.outbound).toBeInstanceOf(Outbound);
    expect(Object.hasOwn(protocol.transport.socket, "push")).toBe(true);
  };
  try {
    expectDirect();
    const back = Promise.withResolvers<void>();
    other.onReconnect(back.resolve);
    await other.nc.reconnect();
    await back.promise;
    expectDirect();
    const heard: number[] = [];
    other.subscribe("direct.>", ({ data }) => void heard.push(data.length));
    const large = new Uint8Array(900_000);
    for (let n = 0; n < 20; n++) other.publish(`direct.${n}`, large.subarray(n));
    await other.flush();
    expect(heard).toEqual(Array.from({ length: 20 }, (_, n) => large.length - n));
  } finally {
    await other.close();
  }
});

test("what cannot be understood ends the connection for another one, and is not told to the log", async () => {
  const told: string[] = [];
  const listening = Object.assign(Object.create(log), {
    error: (what: unknown) => void told.push(JSON.stringify(what)),
  });
  const other = await connectBus({ servers: nats.url, name: "misled", log: listening });
  try {
    const back = Promise.withResolvers<void>();
    other.onReconnect(back.resolve);
    const { protocol } = other.nc as unknown as {
      protocol: { transport: { socket: NodeJS.ReadableStream & { push(bytes: Uint8Array): boolean } } };
    };
    protocol.transport.socket.push(new TextEncoder().encode("NONSENSE\r\nMSG a 1 6\r\nsecret\r\n"));
    await back.promise;
    expect(told).toEqual([expect.stringContaining("parse error")]);
    expect(told[0]).not.toContain("secret");
  } finally {
    await other.close();
  }
});

test("ranges of a stream are read whole where a part of them fills the server's answer, and leave nothing behind", async () => {
  const listening = async (): Promise<number> => {
    const answer = await bus.nc.request("$SYS.REQ.ACCOUNT.PING.STATZ");
    const { data } = answer.json<{ data: { account_statz: { num_subscriptions: number }[] } }>();
    return data.account_statz[0]?.num_subscriptions ?? -1;
  };
  const large = new Uint8Array(900_000);
  for (let n = 0; n < 20; n++) await bus.append(`kb.read.large.${n}`, large);
  const before = await listening();
  for (let n = 0; n < 20; n++) {
    const read = await messagesFrom(bus, KNOWLEDGE, "kb.read.large.*", 1, 256);
    expect(read.map(({ subject }) => subject)).toEqual(
      Array.from({ length: 20 }, (_, at) => `kb.read.large.${at}`),
    );
    expect(await messagesFrom(bus, KNOWLEDGE, "kb.read.none.*", 1, 256)).toEqual([]);
  }
  await waitUntil(async () => (await listening()) <= before, { what: "nobody to listen any more" });
});

test("a pump whose connection is closed for good neither spins nor hangs, and drains", async () => {
  const pool = "closing";
  await provision(bus, { shards: 1, pools: [pool] });
  const other = await connectBus({ servers: nats.url, name: "pumping", log });
  const queue = await WorkQueue.open(other, pool);
  let takes = 0;
  const counted: PumpQueue = {
    take(cls, lane, most) {
      takes++;
      return queue.take(cls, lane, most);
    },
    onBell: queue.onBell.bind(queue),
    passBell: queue.passBell.bind(queue),
    stand: queue.stand.bind(queue),
    sit: queue.sit.bind(queue),
    stored: queue.stored.bind(queue),
  };
  const pump = new Pump({ queue: counted, slots: 8, log, run: async (message) => message.ack() });
  await other.close();
  // What it has waited for so far is lost: it looks at every lane again.
  pump.renew();
  const waited = queue.take("new", 0, 1);
  await expect(queue.stored()).rejects.toMatchObject({ code: "nats.unavailable" });
  queue.close();
  expect(await waited).toEqual([]);
  expect(await queue.take("new", 0, 1)).toEqual([]);
  await pump.drain(0);
  expect(pump.state).toBe("drained");
  expect(takes).toBeLessThan(50);
});

test("an acknowledgement that was given leaves before its connection is closed", async () => {
  const pool = "leaving";
  await provision(bus, { shards: 1, pools: [pool] });
  const other = await connectBus({ servers: nats.url, name: "leaving", log });
  const queue = await WorkQueue.open(other, pool);
  await bus.append(`infer.${pool}.new.0.t.s`, encode({}));
  const [message] = await queue.take("new", 0, 1);
  message?.ack();
  await other.close();
  await waitUntil(async () => (await bus.countOf(inferStream(pool))) === 0, IN_TIME);
  queue.close();
});
