// A partition whose connection was lost, with a server that is played.
import { expect, test } from "vitest";
import { ENVELOPE_VERSION, encodeEnvelope } from "#contracts/envelope.ts";
import { inboundSubject, routeOf } from "#contracts/subjects.ts";
import type { HostContext } from "#runtime/actor/host.ts";
import { OwnedPartition } from "#runtime/actor/partition.ts";
import { systemClock } from "#runtime/clock.ts";
import type { Pulled } from "#runtime/nats/pull.ts";
import { createLog } from "#runtime/observe/log.ts";

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
