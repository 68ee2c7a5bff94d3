// Asking an actor while NATS does not answer.
import { expect, test } from "vitest";
import { askActor } from "#runtime/actor/client.ts";
import { systemClock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";

test("whoever asks hears of the end of its patience, also while the question is not stored yet", async () => {
  let listening = 0;
  const bus = {
    inbox: () => "_INBOX.a",
    subscribe() {
      listening++;
      return { stop: () => listening-- };
    },
    append: () => new Promise(() => {}),
  } as unknown as Bus;
  const to = { kind: "counter", tenant: "demo", key: "k" };
  await expect(askActor(bus, systemClock, to, "add", {}, 1)).rejects.toMatchObject({ code: "turn.timeout" });
  expect(listening).toBe(0);
});
