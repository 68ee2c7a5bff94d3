// An actor in memory that rests, with a store that is played.
import { expect, test } from "vitest";
import { z } from "zod";
import { ENVELOPE_VERSION, type Envelope } from "#contracts/envelope.ts";
import { routeOf } from "#contracts/subjects.ts";
import { Activation } from "#runtime/actor/activation.ts";
import { defineActor } from "#runtime/actor/define.ts";
import type { HostContext } from "#runtime/actor/host.ts";
import { systemClock } from "#runtime/clock.ts";
import { createLog } from "#runtime/observe/log.ts";
import { waitUntil } from "#test/harness/wait.ts";

const route = routeOf({ kind: "resting", tenant: "demo", key: "k" });
const messageOf = (id: string): Envelope => ({
  v: ENVELOPE_VERSION,
  id,
  tenant: "demo",
  kind: "resting",
  key: "k",
  type: "hold",
  body: {},
  at: 0,
});

test("who waits for an actor to rest does not wait for what came to it meanwhile", async () => {
  const gate = Promise.withResolvers<void>();
  const begun: number[] = [];
  let seq = 0;
  const deliver = (): void =>
    void activation.deliver({ envelope: messageOf(`m${++seq}`), seq, bytes: 1, suspect: false, ack() {} });
  const kind = {
    ...defineActor({
      kind: "resting",
      version: 1,
      state: z.object({}),
      messages: { hold: z.object({}) },
      initial: () => ({}),
      on: {
        async hold() {
          begun.push(seq);
          if (seq > 1) await gate.promise;
        },
      },
    }),
    keeping: {
      isDue: () => true,
      take() {
        deliver();
        return { data: {} };
      },
    },
  };
  let revision = 0;
  const kv = {
    get: async () => ({ key: route.path, value: undefined, revision }),
    update: async () => ++revision,
    putWhile: async () => {},
  };
  const host = {
    log: createLog({ level: "silent" }),
    clock: systemClock,
    deployment: { shards: 1, replicas: 1 },
    unsafe: {},
    instance: "me",
    kvOf: () => kv,
    nextOperation: () => `me.${revision}`,
    touch() {},
  } as unknown as HostContext;
  const { signal } = new AbortController();
  let idle = 0;
  const activation = new Activation({
    host,
    kind,
    route,
    stream: "INBOUND-0",
    owned: { signal, draining: signal, stillOwned: async () => true, lost() {} },
    onHeld() {},
    onReleased() {},
    onIdle: () => void idle++,
  });
  deliver();
  await waitUntil(() => idle === 1, { what: "the first message to be handled" });
  await activation.rest();
  expect(begun).toEqual([1, 2]);
  gate.resolve();
  await waitUntil(() => idle === 2, { what: "the second one" });
});
