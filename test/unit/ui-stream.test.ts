// The page's stream where the network gives no sign.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { openStream, type SessionStream } from "#ops/ui/stream.ts";

let stream: SessionStream | undefined;
beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  stream?.close();
  vi.useRealTimers();
});

test("a connection that never answers is given up and opened again", async () => {
  const opened: AbortSignal[] = [];
  stream = openStream({
    resync: async () => ({ turn: 0, closed: true }),
    open: (_lastEventId, signal) => {
      opened.push(signal);
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    },
    onEvent: () => {},
    onConnection: () => {},
  });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(opened.length).toBeGreaterThan(1);
  expect(opened[0]?.aborted).toBe(true);
});
