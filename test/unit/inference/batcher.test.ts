// The laws of the batching policy, played with random queues, and a queue over time: nobody waits for ever.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type BatchLimits, nextBatch, URGENT_MS, urgent, type Waiting } from "#actors/inference/batcher.ts";
import { Intake } from "#actors/inference/offline-intake.ts";

interface Request extends Waiting {
  readonly id: number;
}

const NOW = 1_000_000;
const request = (id: number, change: Partial<Request> = {}): Request => ({
  id,
  arrivedAt: NOW,
  tokens: 100,
  deadline: NOW + 60_000,
  group: "a",
  ...change,
});
const LIMITS: BatchLimits = { maxRequests: 4, maxTokens: 1_000, maxWaitMs: 20, maxInFlight: 2 };
const idsOf = (waiting: readonly Request[]): number[] => waiting.map(({ id }) => id);

const queues = fc
  .array(
    fc.record({
      ageMs: fc.integer({ min: 0, max: 100 }),
      tokens: fc.integer({ min: 0, max: 1_500 }),
      leftMs: fc.integer({ min: -100, max: 60_000 }),
      group: fc.constantFrom("a", "b", "c"),
    }),
    { maxLength: 30 },
  )
  .map((all) =>
    all.map(
      ({ ageMs, tokens, leftMs, group }, id): Request => ({
        id,
        arrivedAt: NOW - ageMs,
        tokens,
        deadline: NOW + leftMs,
        group,
      }),
    ),
  );
const limits = fc.record({
  maxRequests: fc.integer({ min: 1, max: 8 }),
  maxTokens: fc.integer({ min: 1, max: 3_000 }),
  maxWaitMs: fc.integer({ min: 0, max: 50 }),
  maxInFlight: fc.integer({ min: 1, max: 4 }),
});

describe("laws", () => {
  const hold = (law: (waiting: Request[], inFlight: number, l: BatchLimits) => void): void =>
    fc.assert(fc.property(queues, fc.integer({ min: 0, max: 5 }), limits, law), { numRuns: 500 });

  test("a batch holds waiting requests of one group, each once, within the limits; a larger one goes alone", () =>
    hold((waiting, inFlight, l) => {
      const { go } = nextBatch(waiting, inFlight, l, NOW);
      expect(go.every((each) => waiting.includes(each))).toBe(true);
      expect(new Set(go).size).toBe(go.length);
      expect(new Set(go.map(({ group }) => group)).size).toBeLessThanOrEqual(1);
      expect(go.length).toBeLessThanOrEqual(l.maxRequests);
      if (go.length > 1)
        expect(go.reduce((sum, { tokens }) => sum + tokens, 0)).toBeLessThanOrEqual(l.maxTokens);
    }));

  test("an idle backend gets what waits at once; a busy one up to its limit gets nothing", () =>
    hold((waiting, inFlight, l) => {
      const { go, lookAgainAt } = nextBatch(waiting, inFlight, l, NOW);
      if (inFlight === 0) expect(go.length > 0).toBe(waiting.length > 0);
      if (inFlight >= l.maxInFlight) expect([go, lookAgainAt]).toEqual([[], undefined]);
    }));

  test("nobody is kept beyond the longest wait, nor up to its deadline, while there is room", () =>
    hold((waiting, inFlight, l) => {
      if (inFlight >= l.maxInFlight || waiting.length === 0) return;
      const { go, lookAgainAt } = nextBatch(waiting, inFlight, l, NOW);
      if (go.length > 0) {
        expect(lookAgainAt).toBeUndefined();
        return;
      }
      expect(lookAgainAt).toBeGreaterThan(NOW);
      for (const { arrivedAt, deadline } of waiting)
        expect(lookAgainAt).toBeLessThanOrEqual(Math.min(arrivedAt + l.maxWaitMs, deadline - l.maxWaitMs));
      expect(nextBatch(waiting, inFlight, l, lookAgainAt as number).go.length).toBeGreaterThan(0);
    }));

  test("the most urgent request of a group is in its batch", () =>
    hold((waiting, inFlight, l) => {
      const { go } = nextBatch(waiting, inFlight, l, NOW);
      const rank = ({ deadline, arrivedAt }: Request): number => Math.min(deadline, arrivedAt + URGENT_MS);
      const same = waiting.filter(({ group }) => group === go[0]?.group);
      if (go.length > 0) expect(Math.min(...go.map(rank))).toBe(Math.min(...same.map(rank)));
    }));

  test("over time everyone leaves exactly once, however many come after", () =>
    fc.assert(
      fc.property(queues, limits, (waiting, l) => {
        const left: number[] = [];
        let queue = [...waiting];
        let next = 1_000;
        for (let now = NOW; queue.length > 0 && now < NOW + 20 * URGENT_MS; now += 50) {
          // A full batch of newcomers for each that leaves: as much as the backend can take for ever.
          const newcomers = now < NOW + URGENT_MS ? l.maxRequests : 0;
          for (let n = 0; n < newcomers; n++)
            queue.push(request(next++, { arrivedAt: now, deadline: now + 60_000, tokens: 1 }));
          const { go } = nextBatch(queue, 0, l, now);
          left.push(...idsOf(go));
          queue = queue.filter((each) => !go.includes(each));
        }
        expect(queue).toEqual([]);
        expect(new Set(left).size).toBe(left.length);
      }),
      { numRuns: 50 },
    ));
});

describe("examples", () => {
  const decide = (waiting: Request[], inFlight: number, now = NOW) => {
    const { go, lookAgainAt } = nextBatch(waiting, inFlight, LIMITS, now);
    return [idsOf(go), lookAgainAt];
  };

  test("alone on an idle backend: at once", () => expect(decide([request(1)], 0)).toEqual([[1], undefined]));
  test("while a batch runs: gathers until the longest wait", () => {
    const waiting = [request(1), request(2, { arrivedAt: NOW - 5 })];
    expect(decide(waiting, 1)).toEqual([[], NOW + 15]);
    expect(decide(waiting, 1, NOW + 15)).toEqual([[2, 1], undefined]);
  });
  test("a full batch does not wait", () =>
    expect(
      decide(
        [1, 2, 3, 4, 5].map((id) => request(id)),
        1,
      ),
    ).toEqual([[1, 2, 3, 4], undefined]));
  test("a full group overtakes one that gathers", () => {
    const full = [2, 3, 4, 5].map((id) => request(id, { group: "b" }));
    expect(decide([request(1, { arrivedAt: NOW - 10 }), ...full], 1)[0]).toEqual([2, 3, 4, 5]);
  });
  test("an earlier deadline goes first when it is near, and does not wait when it is very near", () => {
    const near = request(9, { deadline: NOW + 2_000 });
    expect(decide([request(1), near], 0)[0]).toEqual([9, 1]);
    expect(decide([request(1, { deadline: NOW + LIMITS.maxWaitMs })], 1)[0]).toEqual([1]);
  });
  test("what exceeds the tokens alone goes alone; what does not fit is passed over for smaller ones", () => {
    expect(decide([request(1, { tokens: 5_000 }), request(2)], 0)[0]).toEqual([1]);
    expect(decide([request(1, { tokens: 600 }), request(2, { tokens: 600 }), request(3)], 1)[0]).toEqual([
      1, 3,
    ]);
  });
});

describe("who waits for a batch until nearly too late", () => {
  const urgency = { leastMs: 60_000, eachMs: 625, mostMs: 3_600_000 };

  test("leaves in time to be answered one by one, also a thousand with one deadline; a few stay to the last minute", () => {
    const deadline = NOW + 86_400_000;
    for (const [count, firstMs] of [
      [1, 60_000],
      [1_000, 60_000 + 999 * 625],
      [100_000, 3_600_000],
    ] as const) {
      let waiting = Array.from({ length: count }, (_, id) => request(id, { deadline }));
      expect(urgent(waiting, urgency, deadline - firstMs)).toEqual([]);
      let doneAt = 0;
      for (let now = deadline - firstMs; waiting.length > 0 && now < deadline; now += 1_000) {
        const left = new Set(urgent(waiting, urgency, now));
        waiting = waiting.filter((each) => !left.has(each));
        doneAt = Math.max(doneAt, now) + left.size * 625;
        if (count === 1_000) expect(doneAt).toBeLessThanOrEqual(deadline);
      }
      expect(waiting).toEqual([]);
    }
  });

  test("leaves before those with more time", () => {
    const near = request(1, { deadline: NOW + 50_000 });
    const far = Array.from({ length: 200 }, (_, n) => request(n + 2, { deadline: NOW + 150_000 }));
    expect(urgent([...far, near], urgency, NOW)[0]).toBe(near);
    expect(urgent([...far, near], urgency, NOW).length).toBeLessThan(100);
    expect(urgent(far.slice(0, 10), urgency, NOW)).toEqual([]);
  });
});

test("a provider without room gets as many batches as it has, or half of the one", () => {
  const after = (refusedTokens: number, inFlight: number): BatchLimits => {
    const intake = new Intake(LIMITS);
    intake.refused(refusedTokens, inFlight, NOW);
    expect(intake.isFull(NOW)).toBe(inFlight === 0);
    return intake.limits;
  };
  expect(after(900, 1)).toEqual({ ...LIMITS, maxInFlight: 1 });
  expect(after(900, 5)).toEqual(LIMITS);
  expect(after(900, 0)).toEqual({ ...LIMITS, maxTokens: 450 });
  expect(after(1, 0).maxTokens).toBe(1);
  // What was learnt is forgotten as batches are taken.
  const intake = new Intake(LIMITS);
  intake.refused(1, 0, NOW);
  intake.refused(1, 1, NOW);
  for (let n = 0; n < 10; n++) intake.taken();
  expect(intake.limits).toEqual(LIMITS);
});

test("a provider that others keep full is asked again after a growing pause, up to five minutes", () => {
  const intake = new Intake(LIMITS);
  let now = NOW;
  const pause = (): number => {
    const since = now;
    intake.refused(900, 0, now);
    while (intake.isFull(now)) now += 1_000;
    return now - since;
  };
  expect(Array.from({ length: 8 }, pause)).toEqual([
    5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000,
  ]);
  intake.taken();
  expect(pause()).toBe(5_000);
});
