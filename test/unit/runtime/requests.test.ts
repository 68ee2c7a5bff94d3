// Requests over one inbox and pulls, and the one timer that looks for those whose time is over: by a clock that no jump of
// the time of day touches.
import type { Msg, NatsConnection } from "@nats-io/transport-node";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Bus } from "#runtime/nats/connect.ts";
import { Puller } from "#runtime/nats/pull.ts";
import { Requests } from "#runtime/nats/requests.ts";
import { arrived } from "#runtime/within.ts";

const HOUR_MS = 3_600_000;

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date", "performance"] }));
afterEach(() => void vi.useRealTimers());

function made() {
  const replies: string[] = [];
  let receive: (error: null, message: Msg) => void = () => {};
  const nc = {
    subscribe: (_: string, options: { callback: typeof receive }) => {
      receive = options.callback;
    },
    closed: () => new Promise(() => {}),
    publish: (_: string, __: Uint8Array, { reply }: { reply: string }) => replies.push(reply),
  };
  const requests = new Requests(nc as unknown as NatsConnection, "_INBOX", () => {});
  const send = (timeoutMs: number) => requests.send("$JS.API.INFO", new Uint8Array(), undefined, timeoutMs);
  const answer = (subject = "") => receive(null, { subject, data: new Uint8Array(1) } as Msg);
  return { replies, send, answer };
}

async function pass(ms: number): Promise<void> {
  vi.advanceTimersByTime(ms);
  await arrived();
  await arrived();
}

const jump = (ms: number): void => void vi.setSystemTime(Date.now() + ms);

test("a request that is made between the timer and its look leaves no timer behind", async () => {
  const { replies, send, answer } = made();
  const first = send(150);
  vi.advanceTimersByTime(150);
  answer(replies[0]);
  const second = send(5_000);
  await arrived();
  await arrived();
  expect(vi.getTimerCount()).toBe(1);
  answer(replies[1]);
  await Promise.all([first, second]);
  expect(vi.getTimerCount()).toBe(0);
});

test("a time of day that jumps ends no request, and prolongs none", async () => {
  const { replies, send, answer } = made();
  const ended: string[] = [];
  const ending = (name: string, ms: number) =>
    send(ms).then(...[0, 1].map(() => () => void ended.push(name)));
  void ending("long", 20_000);
  void ending("short", 1_000);
  jump(HOUR_MS);
  await pass(1_000);
  expect(ended).toEqual(["short"]);
  jump(-2 * HOUR_MS);
  void ending("later", 1_000);
  jump(-2 * HOUR_MS);
  await pass(1_000);
  expect(ended).toEqual(["short", "later"]);
  answer(replies[0]);
  await arrived();
  expect(ended).toEqual(["short", "later", "long"]);
});

test("a time of day that jumps breaks no pull, and hides none that is lost", async () => {
  const subscription = { unsubscribe: () => {}, drain: async () => {}, stop: () => {} };
  const bus = {
    nc: { subscribe: () => subscription, publish: () => {} },
    subscribe: () => subscription,
    inbox: () => "_INBOX",
    connected: true,
    suspectIsolation: async () => {},
  };
  const puller = new Puller(bus as unknown as Bus);
  const channel = puller.channel("S", "c");
  const ended: string[] = [];
  const ask = (name: string, expiresMs?: number): void =>
    channel.request({
      batch: 1,
      ...(expiresMs === undefined ? {} : { expiresMs }),
      onMessage: () => {},
      onEnd: (end) => void ended.push(`${name} ${end}`),
    });
  ask("long", 30_000);
  ask("short");
  jump(HOUR_MS);
  await pass(1_000);
  expect(ended).toEqual(["short broken"]);
  jump(-2 * HOUR_MS);
  await pass(4_000);
  expect(ended).toEqual(["short broken", "long broken"]);
  puller.close();
});
