/** A pool's queue in memory, for the pump. */
import { expect } from "vitest";
import type { PumpQueue } from "#actors/inference/pump-queue.ts";
import type { Lane, PriorityClass } from "#contracts/subjects.ts";
import type { Pulled } from "#runtime/nats/pull.ts";

export interface Fake extends PumpQueue {
  add(cls: PriorityClass, lane: Lane): void;
  /** A job that is stored now: it goes to a slot that waits at its lane, or the lane's bell rings. */
  arrive(cls: PriorityClass, lane: Lane): void;
  ring(cls: PriorityClass, lane: Lane): void;
  readonly takes: string[];
  readonly stands: string[];
  readonly events: string[];
  asked: number;
  outstanding: number;
}

type Place = `${PriorityClass}-${Lane}`;

export function fakeQueue({ standing = false } = {}): Fake {
  const waiting = new Map<Place, Pulled[]>();
  const bells = new Map<Place, () => void>();
  const stood = new Map<string, (message: Pulled) => void>();
  let seq = 0;
  const next = (place: Place, most: number): Pulled[] => {
    const list = waiting.get(place) ?? [];
    return list.splice(0, most).map((message, n, taken) => ({
      ...message,
      pending: list.length + taken.length - n - 1,
    }));
  };
  const fake: Fake = {
    takes: [],
    stands: [],
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
        pending: 0,
        storedAt: Date.now(),
        delivery: n,
        operation: () => "",
        ack: say("ack"),
        nak: say("nak"),
        working: say("working"),
      });
      waiting.set(`${cls}-${lane}`, list);
    },
    arrive(cls, lane) {
      fake.add(cls, lane);
      const at = `${cls}-${lane}`;
      const stands = stood.get(at);
      stood.delete(at);
      if (stands) for (const message of next(`${cls}-${lane}`, 1)) stands(message);
      else fake.ring(cls, lane);
    },
    ring: (cls, lane) => bells.get(`${cls}-${lane}`)?.(),
    async take(cls, lane, most) {
      fake.outstanding++;
      expect(fake.outstanding).toBe(1);
      fake.takes.push(`${cls}-${lane}`);
      await Promise.resolve();
      fake.outstanding--;
      return next(`${cls}-${lane}`, most);
    },
    onBell(cls, lane, _shared, ring) {
      bells.set(`${cls}-${lane}`, ring);
      return { stop: () => void bells.delete(`${cls}-${lane}`) };
    },
    passBell: (cls, lane) => void fake.events.push(`passed ${cls}-${lane}`),
    async stored() {
      fake.asked++;
      return [...waiting.values()].reduce((sum, list) => sum + list.length, 0);
    },
  };
  if (!standing) return fake;
  fake.stand = ({ cls, lane }, waitMs, onMessage, onEnd) => {
    const at = `${cls}-${lane}`;
    expect(stood.has(at)).toBe(false);
    fake.stands.push(`${cls}-${lane} ${waitMs}`);
    const [message] = next(`${cls}-${lane}`, 1);
    if (message) return void Promise.resolve().then(() => onMessage(message));
    stood.set(at, onMessage);
    setTimeout(() => {
      if (stood.get(at) !== onMessage) return;
      stood.delete(at);
      onEnd();
    }, waitMs);
  };
  fake.sit = (at) => void (at ? stood.delete(`${at.cls}-${at.lane}`) : stood.clear());
  return fake;
}
