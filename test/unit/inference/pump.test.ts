// The pump against a queue in memory: bounded, one question at a time, cheap when idle, and gentle when it leaves.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Pump, type PumpOptions, type PumpQueue } from "#actors/inference/pump.ts";
import { CLASSES, type Lane, type PriorityClass } from "#contracts/subjects.ts";
import type { Pulled } from "#runtime/nats/pull.ts";
import { createLog } from "#runtime/observe/log.ts";

interface Fake extends PumpQueue {
  add(cls: PriorityClass, lane: Lane): void;
  ring(cls: PriorityClass, lane: Lane): void;
  readonly takes: string[];
  readonly events: string[];
  asked: number;
  outstanding: number;
}

function fakeQueue(): Fake {
  const waiting = new Map<string, Pulled[]>();
  let bell: (cls: PriorityClass, lane: Lane) => void = () => {};
  let seq = 0;
  const fake: Fake = {
    takes: [],
    events: [],
    asked: 0,
    outstanding: 0,
    add(cls, lane) {
      const n = ++seq;
      const say = (what: string) => () => void fake.events.push(`${what} ${n}`);
      const list = waiting.get(`${cls}-${lane}`) ?? [];
      list.push({
        subject: `${n}`,
        data: new Uint8Array(),
        seq: n,
        deliveries: 1,
        storedAt: 0,
        ack: say("ack"),
        nak: say("nak"),
        working: say("working"),
      });
      waiting.set(`${cls}-${lane}`, list);
    },
    ring: (cls, lane) => bell(cls, lane),
    async take(cls, lane, most) {
      fake.outstanding++;
      expect(fake.outstanding).toBe(1);
      fake.takes.push(`${cls}-${lane}`);
      await Promise.resolve();
      fake.outstanding--;
      return (waiting.get(`${cls}-${lane}`) ?? []).splice(0, most);
    },
    onBell(ring) {
      bell = ring;
      return {
        stop() {
          bell = () => {};
        },
      };
    },
    async stored() {
      fake.asked++;
      return [...waiting.values()].reduce((sum, list) => sum + list.length, 0);
    },
  };
  return fake;
}

const log = createLog({ level: "silent" });
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

  test("asks one question a second when idle, and pulls nothing", async () => {
    open({ slots: 4, run: async () => {} });
    await settle();
    queue.takes.length = 0;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(queue.asked).toBe(10);
    expect(queue.takes).toEqual([]);
  });

  test("finds a job whose bell was lost at the next sweep", async () => {
    const seen: number[] = [];
    open({ slots: 1, run: async ({ seq }) => void seen.push(seq) });
    await settle();
    queue.add("deferred", 1);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(seen).toEqual([1]);
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
          const end = (how: string) => () => {
            ends.push(`${seq} ${how}`);
            resolve();
          };
          if (seq === 1) setTimeout(end("finished"), 100);
          handBack.addEventListener("abort", end("given back"));
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
