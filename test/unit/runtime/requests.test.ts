// Requests over one inbox, and the one timer that looks for those whose time is over.
import type { Msg, NatsConnection } from "@nats-io/transport-node";
import { afterEach, expect, test, vi } from "vitest";
import { Requests } from "#runtime/nats/requests.ts";
import { arrived } from "#runtime/within.ts";

afterEach(() => void vi.useRealTimers());

test("a request that is made between the timer and its look leaves no timer behind", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
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
