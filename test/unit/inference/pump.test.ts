// The pump against a queue in memory: bounded, one question at a time, cheap when idle, and gentle when it leaves.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Pump, type PumpOptions } from "#actors/inference/pump.ts";
import { CLASSES } from "#contracts/subjects.ts";
import { createLog } from "#runtime/observe/log.ts";
import { type Fake, fakeQueue } from "./fake-queue.ts";

const log = createLog({ level: "silent" });
/** How free slots wait where there are enough of them. */
const PATIENT = CLASSES.map((cls) => `${cls}-0 30000`);
const settle = () => vi.advanceTimersByTimeAsync(0);
let queue: Fake;
let pump: Pump | undefined;
const open = (options: Pick<PumpOptions, "slots" | "run">) => {
  pump = new Pump({ queue, log, ...options });
  return pump;
};

beforeEach(() => {
  vi.useFakeTimers();
  queue = fakeQueue();
});
afterEach(async () => {
  const drained = pump?.drain(0);
  await vi.advanceTimersByTimeAsync(5_000);
  await drained;
  vi.useRealTimers();
});

describe("pump", () => {
  test("never holds more than its slots, and refills as they free up", async () => {
    for (let i = 0; i < 10; i++) queue.add("new", 0);
    const finish: (() => void)[] = [];
    let most = 0;
    let running = 0;
    const run = async () => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => finish.push(resolve));
      running--;
    };
    const { slots } = open({ slots: 3, run });
    await settle();
    expect(running).toBe(slots);
    while (finish.length > 0) {
      finish.shift()?.();
      await settle();
    }
    expect(finish).toEqual([]);
    expect(most).toBe(3);
    expect(await queue.stored()).toBe(0);
  });

  test("asks one question in four seconds when idle, and pulls nothing", async () => {
    open({ slots: 4, run: async () => {} });
    await settle();
    queue.takes.length = 0;
    await vi.advanceTimersByTimeAsync(12_010);
    expect(queue.asked).toBe(3);
    expect(queue.takes).toEqual([]);
  });

  test("finds a job whose bell was lost at the next sweep", async () => {
    const seen: number[] = [];
    open({ slots: 1, run: async ({ seq }) => void seen.push(seq) });
    await settle();
    queue.add("deferred", 1);
    await vi.advanceTimersByTimeAsync(4_010);
    expect(seen).toEqual([1]);
  });

  test("sweeps also while short jobs come and go", async () => {
    const seen: string[] = [];
    open({ slots: 4, run: async ({ subject }) => void seen.push(subject) });
    await settle();
    queue.add("deferred", 1);
    for (let i = 0; i < 20; i++) {
      queue.arrive("new", 0);
      await vi.advanceTimersByTimeAsync(250);
    }
    expect(seen).toContain("1");
  });

  test("asks only the lane that rang", async () => {
    open({ slots: 4, run: async () => {} });
    await settle();
    queue.takes.length = 0;
    queue.add("new", 1);
    queue.ring("new", 1);
    await settle();
    expect(queue.takes).toEqual(["new-1"]);
  });

  test("says every second that it still works on what it holds", async () => {
    queue.add("ongoing", 0);
    open({
      slots: 1,
      run: (_, handBack) => new Promise((resolve) => handBack.addEventListener("abort", () => resolve())),
    });
    await vi.advanceTimersByTimeAsync(3_000);
    expect(queue.events).toEqual(["working 1", "working 1", "working 1"]);
  });

  test("drains: takes nothing more, waits for the grace, then tells the rest to give back", async () => {
    queue.add("ongoing", 0);
    queue.add("ongoing", 0);
    const ends: string[] = [];
    const draining = open({
      slots: 2,
      run: ({ seq }, handBack) =>
        new Promise((resolve) => {
          const end = (how: string): void => {
            ends.push(`${seq} ${how}`);
            handBack.removeEventListener("abort", giveBack);
            resolve();
          };
          const giveBack = (): void => end("given back");
          if (seq === 1) setTimeout(end, 100, "finished");
          handBack.addEventListener("abort", giveBack);
        }),
    });
    await settle();
    const drained = draining.drain(500);
    queue.add("ongoing", 0);
    queue.ring("ongoing", 0);
    await vi.advanceTimersByTimeAsync(600);
    await drained;
    expect(ends).toEqual(["1 finished", "2 given back"]);
    expect(await queue.stored()).toBe(1);
    expect(draining.state).toBe("drained");
  });

  test("gives back at once what arrives after a drain began", async () => {
    for (const cls of CLASSES) queue.add(cls, 0);
    const started: number[] = [];
    const draining = open({ slots: 1, run: async ({ seq }) => void started.push(seq) });
    const drained = draining.drain(0);
    await settle();
    await drained;
    expect(started).toEqual([]);
    expect(queue.events).toEqual(["nak 1"]);
  });
});

describe("a pump whose free slots wait at lanes", () => {
  const standingPump = (slots: number, run: PumpOptions["run"]): Pump => {
    queue = fakeQueue({ standing: true });
    return open({ slots, run });
  };

  test("is handed a job without a question, and listens to no bell for it", async () => {
    const seen: number[] = [];
    standingPump(8, async ({ seq }) => void seen.push(seq));
    await settle();
    expect(queue.stands).toEqual(PATIENT);
    queue.takes.length = 0;
    for (const cls of CLASSES) queue.arrive(cls, 0);
    await settle();
    expect(seen).toEqual([1, 2, 3]);
    expect(queue.takes).toEqual([]);
    // One for each of the three that were filled.
    expect(queue.stands).toHaveLength(2 * PATIENT.length);
  });

  test.each(CLASSES.flatMap((cls) => [0, 60, 130].map((afterMs) => ({ cls, afterMs }))))(
    "with a single free slot serves $cls that comes after $afterMs ms, and holds no more than its slots",
    async ({ cls, afterMs }) => {
      const started: number[] = [];
      const holding = standingPump(4, async ({ seq }) => {
        started.push(seq);
        await new Promise<void>(() => {});
      });
      for (let i = 0; i < 3; i++) queue.arrive("new", 0);
      await settle();
      expect(holding.inFlight).toBe(3);
      await vi.advanceTimersByTimeAsync(afterMs);
      queue.arrive(cls, 0);
      await vi.advanceTimersByTimeAsync(250);
      expect(started).toEqual([1, 2, 3, 4]);
      queue.arrive("ongoing", 0);
      await vi.advanceTimersByTimeAsync(5_000);
      expect(holding.inFlight).toBe(4);
    },
  );

  test("takes a backlog in order, whatever lane it lies in", async () => {
    const order: string[] = [];
    queue = fakeQueue({ standing: true });
    for (const cls of ["deferred", "new", "ongoing"] as const) for (let i = 0; i < 3; i++) queue.add(cls, 0);
    open({ slots: 4, run: async ({ subject }) => void order.push(subject) });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(order.map(Number)).toEqual([7, 8, 9, 4, 5, 6, 1, 2, 3]);
  });

  test("a slot that waits patiently at one lane does not keep another lane's jobs waiting", async () => {
    const holding = standingPump(8, () => new Promise<void>(() => {}));
    await settle();
    for (let i = 0; i < 20; i++) queue.arrive("ongoing", 0);
    await vi.advanceTimersByTimeAsync(200);
    expect(holding.inFlight).toBe(8);
  });

  test("a steady stream near its capacity is served without a slot standing twice at a lane", async () => {
    const holding = standingPump(8, () => new Promise<void>((done) => setTimeout(done, 200)));
    await settle();
    let most = 0;
    // Thirteen gaps that repeat: now more jobs than slots, so that some wait and slots are reserved, now fewer.
    for (let i = 0; i < 1_000; i++) {
      queue.arrive("ongoing", 0);
      await vi.advanceTimersByTimeAsync(2 + ((i * 7) % 13) * 4);
      most = Math.max(most, holding.inFlight);
    }
    await vi.advanceTimersByTimeAsync(1_000);
    expect(most).toBe(8);
    expect(holding.inFlight).toBe(0);
    // 26 seconds, and at most two places every 50 ms besides one a job.
    expect(queue.stands.length).toBeLessThan(3_000);
  });

  test("a bell that rings at a worker without a slot is rung for another, once", async () => {
    standingPump(4, () => new Promise<void>(() => {}));
    await settle();
    for (let i = 0; i < 4; i++) queue.arrive("ongoing", 0);
    await settle();
    queue.events.length = 0;
    for (let i = 0; i < 3; i++) queue.arrive("deferred", 1);
    await settle();
    expect(queue.events).toEqual(["passed deferred-1"]);
  });

  test("after a reconnect waits at its lanes anew", async () => {
    const waiting = standingPump(8, async () => {});
    await settle();
    queue.stands.length = 0;
    waiting.renew();
    await settle();
    expect(queue.stands).toEqual(PATIENT);
  });

  test("a slot of which the server knows nothing any more is found out, and waits anew", async () => {
    const seen: number[] = [];
    standingPump(8, async ({ seq }) => void seen.push(seq));
    await settle();
    queue.stands.length = 0;
    queue.sit?.();
    queue.add("new", 0);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(seen).toEqual([1]);
    expect(queue.stands).toEqual(["new-0 30000"]);
    queue.takes.length = 0;
    queue.arrive("new", 0);
    await settle();
    expect(seen).toEqual([1, 2]);
    expect(queue.takes).toEqual([]);
  });

  test("the slot that waits at the least of the lanes goes where one is missed", async () => {
    const started: string[] = [];
    const holding = standingPump(8, async ({ subject }) => {
      started.push(subject);
      await new Promise<void>(() => {});
    });
    await settle();
    for (let i = 0; i < 5; i++) queue.arrive("ongoing", 0);
    await settle();
    // Five are held and three wait, a slot a lane: the next three go to them, whatever their lane is.
    queue.takes.length = 0;
    for (let i = 0; i < 3; i++) queue.arrive("ongoing", 0);
    await settle();
    expect(holding.inFlight).toBe(8);
    expect(started).toHaveLength(8);
  });

  test("what waits beside full slots is asked for in the order of the lanes when one becomes free", async () => {
    const finish: (() => void)[] = [];
    const order: string[] = [];
    standingPump(4, ({ subject }) => {
      order.push(subject);
      return new Promise<void>((done) => finish.push(done));
    });
    await settle();
    for (let i = 0; i < 4; i++) queue.arrive("new", 0);
    await vi.advanceTimersByTimeAsync(100);
    for (const cls of ["deferred", "new", "ongoing"] as const) queue.arrive(cls, 0);
    order.length = 0;
    for (let i = 0; i < 3; i++) {
      finish.shift()?.();
      await vi.advanceTimersByTimeAsync(150);
    }
    expect(order.map(Number)).toEqual([7, 6, 5]);
  });
});
