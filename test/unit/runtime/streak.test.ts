// What fails in each round is one line a minute, however long the outage.
import { expect, test } from "vitest";
import { createLog } from "#runtime/observe/log.ts";
import { FailureStreak } from "#runtime/observe/streak.ts";

test("a round that fails for half an hour is told when it begins, each minute, and when it is over", () => {
  const lines: { msg: string; times: number }[] = [];
  const log = createLog({ destination: { write: (line) => void lines.push(JSON.parse(line)) } });
  let now = 0;
  const streak = new FailureStreak(log, "reaper: round", () => now);
  streak.ended();
  for (; now < 30 * 60_000; now += 3_000) streak.failed(new Error("no answer in time"));
  streak.ended();
  streak.ended();
  expect(lines).toHaveLength(31);
  expect(lines[0]).toMatchObject({ msg: "reaper: round failed", times: 1 });
  expect(lines.at(-1)).toMatchObject({ msg: "reaper: round works again", times: 600 });
  streak.failed(new Error("again"));
  expect(lines.at(-1)).toMatchObject({ msg: "reaper: round failed", times: 1 });
});
