// Laws of the breaker and of the adaptive limit, played with random histories.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { allowed, decrease, fullLimit, increase } from "#actors/inference/limit.ts";
import { admit, type Breaker, CLOSED, callOff, fail, readyAt, succeed } from "#runtime/breaker.ts";

const failed = (times: number, from: Breaker = CLOSED, now = 0): Breaker => {
  let breaker = from;
  for (let i = 0; i < times; i++) breaker = fail(breaker, breaker.era, now, 0.5);
  return breaker;
};

describe("a breaker", () => {
  test("opens after three failures in a row, or when half of the last requests failed", () => {
    expect(failed(2).state).toBe("closed");
    expect(failed(3).state).toBe("open");
    let breaker = CLOSED;
    for (let i = 0; i < 9 && breaker.state === "closed"; i++)
      breaker = i % 2 ? succeed(breaker, breaker.era) : fail(breaker, breaker.era, 0, 0);
    expect(breaker.state).toBe("closed");
    expect(fail(succeed(breaker, 0), 0, 0, 0).state).toBe("open");
  });

  test("lets one request find out, closes when it succeeds, stays open twice as long when it fails", () => {
    const open = failed(3);
    const at = readyAt(open);
    const probing = admit(open, at) as Breaker;
    expect(probing.state).toBe("half-open");
    expect(admit(probing, at + 59_999)).toBeUndefined();
    expect(admit(probing, at + 60_000)?.era).toBeGreaterThan(probing.era);
    expect(succeed(probing, probing.era).state).toBe("closed");
    const again = fail(probing, probing.era, at, 0.5);
    expect(readyAt(again) - at).toBe(2 * at);
    const calledOff = callOff(probing, probing.era, at);
    expect(admit(calledOff, at)?.state).toBe("half-open");
  });

  test("what began before it opened neither closes it nor keeps it open for longer", () => {
    const open = failed(3);
    expect(succeed(open, CLOSED.era)).toBe(open);
    expect(fail(open, CLOSED.era, 500, 0.5)).toBe(open);
  });

  type Step = {
    readonly do: "ask" | "succeed" | "fail" | "call off";
    readonly afterMs: number;
    readonly pick: number;
  };
  const step: fc.Arbitrary<Step> = fc.record({
    do: fc.constantFrom("ask", "ask", "succeed", "fail", "fail", "call off"),
    afterMs: fc.integer({ min: 0, max: 3_000 }),
    pick: fc.nat(),
  });

  test("whatever happens: nobody asks an open one early, one probe at a time, and it can always recover", () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 200 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (steps, random) => {
          let breaker = CLOSED;
          let now = 0;
          let running: number[] = [];
          for (const { do: what, afterMs, pick } of steps) {
            now += afterMs;
            if (what === "ask") {
              const before = breaker;
              const next = admit(breaker, now);
              expect(next !== undefined).toBe(readyAt(before) <= now);
              if (!next) continue;
              breaker = next;
              running.push(next.era);
              if (next.state === "half-open")
                expect(running.filter((era) => era === next.era)).toHaveLength(1);
            } else if (running.length > 0) {
              const [era = 0] = running.splice(pick % running.length, 1);
              if (what === "succeed") breaker = succeed(breaker, era);
              if (what === "fail") breaker = fail(breaker, era, now, random);
              if (what === "call off") breaker = callOff(breaker, era, now);
            }
            if (breaker.state === "open") expect(breaker.until - now).toBeLessThanOrEqual(30_000);
          }
          // Whatever still runs ends; then at most two probes bring it back.
          for (const era of running) breaker = callOff(breaker, era, now);
          running = [];
          const probe = admit(breaker, now + 30_000);
          expect(probe).toBeDefined();
          if (probe) expect(succeed(probe, probe.era).state).toBe("closed");
        },
      ),
    );
  });
});

describe("an adaptive limit", () => {
  test("falls at once, once for all who saw the same congestion, and comes back a step a round", () => {
    const full = fullLimit(10);
    const once = decrease(full, 100, 200);
    expect(allowed(once)).toBe(7);
    expect(decrease(once, 150, 210)).toBe(once);
    expect(allowed(decrease(once, 250, 300))).toBe(4);
    let limit = once;
    for (let i = 0; i < 8; i++) limit = increase(limit, 7);
    expect(allowed(limit)).toBe(8);
  });

  test("does not grow while it is not used", () => {
    const limit = decrease(fullLimit(10), 0, 1);
    expect(increase(limit, 1)).toBe(limit);
  });

  test("stays between one request and what is configured", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1_024 }),
        fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 2_000 }))),
        (most, steps) => {
          let limit = fullLimit(most);
          for (const [n, [good, running]] of steps.entries()) {
            limit = good ? increase(limit, running) : decrease(limit, n, n);
            expect(allowed(limit)).toBeGreaterThanOrEqual(1);
            expect(allowed(limit)).toBeLessThanOrEqual(most);
          }
        },
      ),
    );
  });

  test("two workers that share a provider's limit end up with equal parts of it", () => {
    const provider = 20;
    let a = fullLimit(64);
    let b = decrease(decrease(fullLimit(64), 0, 1), 1, 2);
    for (let round = 1; round < 2_000; round++) {
      const over = allowed(a) + allowed(b) > provider;
      a = over ? decrease(a, round + 10, round + 10) : increase(a, a.value);
      b = over ? decrease(b, round + 10, round + 10) : increase(b, b.value);
    }
    expect(Math.abs(allowed(a) - allowed(b))).toBeLessThanOrEqual(1);
    expect(allowed(a) + allowed(b)).toBeGreaterThan(provider * 0.6);
  });
});
