// Workers that die at once: started again after a while that grows with each time, not with each of them.
import { pino } from "pino";
import { expect, test } from "vitest";
import { Fleet } from "#ops/compose/fleet.ts";
import { waitUntil } from "#test/harness/wait.ts";

test("what dies together is replaced together, and told with its exit code and the wait", async () => {
  const told: { exitCode: number; waitMs: number }[] = [];
  const log = pino({ level: "warn" }, { write: (line: string) => void told.push(JSON.parse(line)) });
  const fleet = new Fleet({
    command: process.execPath,
    args: ["-e", "process.exit(3)"],
    log,
    graceMs: 1_000,
  });
  try {
    fleet.scaleTo(3);
    await waitUntil(() => told.length >= 6, { what: "all of them to have died twice" });
  } finally {
    await fleet.stop();
  }
  const [first, second] = [told.slice(0, 3), told.slice(3, 6)];
  expect(new Set(told.map(({ exitCode }) => exitCode))).toEqual(new Set([3]));
  expect(new Set(first.map(({ waitMs }) => waitMs)).size).toBe(1);
  expect(second.map(({ waitMs }) => waitMs)).toEqual(Array(3).fill(2 * (first[0]?.waitMs ?? 0)));
});
