// A partition whose connection was lost, with a server that is played.
import { expect, test } from "vitest";
import { ENVELOPE_VERSION, encodeEnvelope } from "#contracts/envelope.ts";
import { LIMITS } from "#contracts/limits.ts";
import { inboundSubject, routeOf } from "#contracts/subjects.ts";
import type { HostContext } from "#runtime/actor/host.ts";
import { OwnedPartition } from "#runtime/actor/partition.ts";
import { systemClock } from "#runtime/clock.ts";
import type { PullEnd, Pulled } from "#runtime/nats/pull.ts";
import { createLog } from "#runtime/observe/log.ts";
import { waitUntil } from "#test/harness/wait.ts";

test("what comes while the counts are on their way does not hide what was lost before it", async () => {
  const route = routeOf({ kind: "counter", tenant: "demo", key: "k" });
  let deliver: (message: Pulled) => void = () => {};
  const channel = { received: 0, acked: 0, unacked: 0, request() {}, forget() {}, close() {} };
  const arrives = (delivery: number): void => {
    channel.received++;
    channel.unacked++;
    const envelope = {
      ...{ v: ENVELOPE_VERSION, id: `m${delivery}`, tenant: "demo", kind: "counter", key: "k" },
      ...{ type: "add", body: {}, at: 0 },
    };
    const message = { subject: inboundSubject(route), data: encodeEnvelope(envelope), delivery, ack() {} };
    deliver({ ...message, seq: delivery } as unknown as Pulled);
  };
  const asked = Promise.withResolvers<void>();
  const answered = Promise.withResolvers<Uint8Array>();
  const handled: number[] = [];
  const host = {
    log: createLog({ level: "silent" }),
    clock: systemClock,
    deployment: { shards: 1, replicas: 1 },
    unsafe: {},
    kinds: new Map(),
    puller: {
      channel(_stream: string, _consumer: string, onLate: (message: Pulled) => void) {
        deliver = onLate;
        return channel;
      },
    },
    bus: {
      request() {
        asked.resolve();
        return answered.promise;
      },
      // Of its kind nobody knows: what is handled becomes a letter.
      append: async () => void handled.push(channel.received),
    },
  } as unknown as HostContext;
  const lost: string[] = [];
  const partition = new OwnedPartition({
    host,
    partition: route.partition,
    epoch: 1,
    consumer: "p-e1",
    suspectUpTo: 0,
    stillOwned: async () => true,
    onConsumerGone() {},
    onLost: (reason) => {
      lost.push(reason);
      partition.stop();
    },
  });
  // The first delivery goes down with the connection; the server counts it, and then the second one comes.
  partition.pause();
  const goesOn = partition.goOn();
  await asked.promise;
  arrives(2);
  const counts = { delivered: { consumer_seq: 1, stream_seq: 1 }, num_ack_pending: 1 };
  answered.resolve(new TextEncoder().encode(JSON.stringify(counts)));
  await goesOn;
  expect(lost).toEqual(["a delivery went missing"]);
  expect(handled).toEqual([]);
});

test("a partition that holds many bytes pulls nothing until some of them are gone", async () => {
  const keys = Array.from({ length: 20_000 }, (_, n) => `k${n}`);
  const [first] = keys;
  const { partition } = routeOf({ kind: "counter", tenant: "demo", key: first as string });
  const routes = keys.map((key) => routeOf({ kind: "counter", tenant: "demo", key }));
  const here = routes.filter((route) => route.partition === partition);
  const gate = Promise.withResolvers<never>();
  gate.promise.catch(() => {});
  let end: (end: PullEnd) => void = () => {};
  let deliver: (message: Pulled) => void = () => {};
  let requests = 0;
  const channel = {
    ...{ received: 0, acked: 0, unacked: 0, forget() {}, close() {} },
    request({ onMessage, onEnd }: { onMessage: typeof deliver; onEnd: typeof end }) {
      requests++;
      deliver = onMessage;
      end = onEnd;
    },
  };
  const host = {
    ...{ log: createLog({ level: "silent" }), clock: systemClock, unsafe: {} },
    deployment: { shards: 1, replicas: 1 },
    kinds: new Map([["counter", { kind: "counter", burst: false, version: 1 }]]),
    puller: { channel: () => channel },
    // Nothing is loaded, so everything stays where it is.
    kvOf: () => ({ get: () => gate.promise }),
    ...{ created() {}, closed() {}, idle() {} },
  } as unknown as HostContext;
  const owned = new OwnedPartition({
    ...{ host, partition, epoch: 1, consumer: "p-e1", suspectUpTo: 0 },
    ...{ stillOwned: async () => true, onConsumerGone() {}, onLost() {} },
  });
  owned.start();
  const bytes = 2_000_000;
  const most = Math.ceil(LIMITS.partitionBytes / bytes);
  for (const [n, route] of here.slice(0, most).entries()) {
    expect(requests).toBe(n + 1);
    const envelope = {
      ...{ v: ENVELOPE_VERSION, id: `m${n}`, tenant: "demo", kind: "counter", key: route.key },
      ...{ type: "add", body: "x".repeat(bytes), at: 0 },
    };
    const message = { subject: inboundSubject(route), data: encodeEnvelope(envelope), ack() {} };
    channel.received++;
    channel.unacked++;
    deliver({ ...message, seq: n + 1, delivery: n + 1 } as unknown as Pulled);
    end("filled");
  }
  expect(owned.held).toBe(most);
  expect(requests).toBe(most);
  // What cannot be loaded is parked, and makes room.
  gate.reject(new Error("cannot be read"));
  await waitUntil(() => requests > most, { what: "the next request" });
  owned.stop();
});
