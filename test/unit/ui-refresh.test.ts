// How often the page asks while nobody answers.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { refresher } from "#ops/ui/refresh.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("an hour without an answer is asked through at one pace, and ends with the first", async () => {
  let asked = 0;
  let away = true;
  const refresh = refresher(
    async () => {
      asked++;
      if (away) throw new Error("away");
    },
    () => away,
  );
  const silence = setInterval(() => void refresh(), 15_000);
  await vi.advanceTimersByTimeAsync(3_600_000);
  expect(asked).toBeGreaterThan(1_000);
  expect(asked).toBeLessThan(1_500);
  clearInterval(silence);
  away = false;
  await vi.advanceTimersByTimeAsync(10_000);
  const last = asked;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked).toBe(last);
});
