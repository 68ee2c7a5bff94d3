// Headers of appends as they travel.
import { expect, test } from "vitest";
import { headersOf } from "#runtime/nats/append.ts";

/** What nats.js asks of headers that leave. */
const textOf = (options: Parameters<typeof headersOf>[0]): string =>
  new TextDecoder().decode((headersOf(options) as unknown as { encode(): Uint8Array }).encode());

test("what an append asks of its stream stands in headers", () => {
  expect(textOf({ id: "a.1", expectedRevision: 0, ttlMs: 1_200 })).toBe(
    "NATS/1.0\r\nNats-Msg-Id: a.1\r\nNats-Expected-Last-Subject-Sequence: 0\r\nNats-TTL: 2s\r\n\r\n",
  );
  expect(textOf({ schedule: { at: 0, target: "in.1.a" } })).toBe(
    "NATS/1.0\r\nNats-Schedule: @at 1970-01-01T00:00:00.000Z\r\nNats-Schedule-Target: in.1.a\r\n\r\n",
  );
  expect(headersOf({ timeoutMs: 5 })).toBeUndefined();
});

test("a value with a line break is refused: it could name another header", () => {
  expect(() => headersOf({ id: "a\r\nNats-Rollup: all" })).toThrow("line break");
});
