// Who holds a lease when the clocks of machines are set: nobody gains one by it, and nobody keeps one.
import { expect, test } from "vitest";
import { systemClock } from "#runtime/clock.ts";
import { type Bus, StaleRevision } from "#runtime/nats/connect.ts";
import { Lease } from "#runtime/placement/lease.ts";
import { waitUntil } from "#test/harness/wait.ts";

const HOUR_MS = 3_600_000;

/** Holders of one lease, each on a machine with a clock of its own. */
function machines(leaseMs: number) {
  let stored: { data: Uint8Array; seq: number } | undefined;
  const bus = {
    leaderGet: async () => (stored ? { ...stored, subject: "", at: 0, head: "" } : "no-message"),
    async append(_: string, data: Uint8Array, { expectedRevision }: { expectedRevision: number }) {
      if (expectedRevision !== (stored?.seq ?? 0)) throw new StaleRevision();
      stored = { data, seq: expectedRevision + 1 };
      return stored;
    },
  } as unknown as Bus;
  return (owner: string) => {
    let setBy = 0;
    const clock = { ...systemClock, now: () => systemClock.now() + setBy };
    const lease = new Lease({ bus, clock, key: "lease.test", owner, leaseMs });
    return {
      hold: () => lease.hold(),
      setClock(by: number) {
        setBy = by;
      },
    };
  };
}

test("whose clock is set back notices that another one has taken over", async () => {
  const machine = machines(100);
  const [first, second] = [machine("first"), machine("second")];
  expect(await first.hold()).toBe(true);
  first.setClock(-HOUR_MS);
  await waitUntil(() => second.hold(), { what: "the second to take over" });
  expect(await first.hold()).toBe(false);
});

test("whose clock is set forward takes no lease from who renews it", async () => {
  const machine = machines(60_000);
  const [first, second] = [machine("first"), machine("second")];
  expect(await first.hold()).toBe(true);
  expect(await second.hold()).toBe(false);
  second.setClock(HOUR_MS);
  expect(await second.hold()).toBe(false);
});
