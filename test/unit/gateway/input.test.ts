import { describe, expect, test } from "vitest";
import { assertBindable, isForeignHost, isLoopback } from "#actors/gateway/auth.ts";
import { nestsDeeper, parsePrefer, wantsEventStream } from "#actors/gateway/input.ts";
import { problemOf, WaitEnded } from "#actors/gateway/problems.ts";
import { networkOf } from "#actors/gateway/throttle.ts";
import { JetclawError } from "#contracts/errors.ts";

describe("requests", () => {
  test("nesting counts brackets outside of strings", () => {
    expect(nestsDeeper('{"a":[1]}', 2)).toBe(false);
    expect(nestsDeeper('{"a":[[1]]}', 2)).toBe(true);
    expect(nestsDeeper('{"a":"[[[[\\"[[["}', 1)).toBe(false);
    expect(nestsDeeper('"\\\\"[[', 1)).toBe(true);
  });

  test("preferences", () => {
    expect(parsePrefer(undefined)).toEqual({ respondAsync: false, waitMs: undefined });
    expect(parsePrefer("respond-async, wait=10")).toEqual({ respondAsync: true, waitMs: 10_000 });
    expect(parsePrefer('Wait = "3"; foo, handling=lenient')).toEqual({ respondAsync: false, waitMs: 3_000 });
  });

  test("a stream is asked for by its media type", () => {
    expect(wantsEventStream("text/event-stream")).toBe(true);
    expect(wantsEventStream("application/json, text/event-stream;q=0.9")).toBe(true);
    expect(wantsEventStream("*/*")).toBe(false);
    expect(wantsEventStream(undefined)).toBe(false);
  });
});

describe("addresses", () => {
  test("loopback needs no keys, anything else refuses to start without", () => {
    for (const host of ["127.0.0.1", "127.9.9.9", "localhost", "::1", "[::1]"]) {
      expect([host, isLoopback(host)]).toEqual([host, true]);
      assertBindable(host, false);
    }
    for (const host of ["0.0.0.0", "::", "10.0.0.1", "example.org", "127.0.0.1.example.org", ""]) {
      expect(() => assertBindable(host, false)).toThrow(expect.objectContaining({ code: "start.refused" }));
      assertBindable(host, true);
    }
  });

  test("a foreign name in Host is told from an address and a bare name", () => {
    for (const host of [
      "127.0.0.1:8080",
      "[::1]:8080",
      "localhost:8080",
      "gateway",
      "x",
      undefined,
      "a.localhost",
    ])
      expect(isForeignHost(host)).toBe(false);
    for (const host of ["evil.example", "evil.example:8080", "127.0.0.1.nip.io"])
      expect(isForeignHost(host)).toBe(true);
  });

  test("an IPv6 customer is one network", () => {
    expect(networkOf("2001:db8:1:2::1")).toBe(networkOf("2001:db8:1:2:ffff::9"));
    expect(networkOf("2001:db8:1:2::1")).not.toBe(networkOf("2001:db8:1:3::1"));
    expect(networkOf("::ffff:10.0.0.1")).toBe("10.0.0.1");
    expect(networkOf("::1")).toBe("0:0:0:0");
  });
});

describe("problems", () => {
  test("our own failures say nothing of their cause", () => {
    const problem = problemOf(new Error("password=hunter2"), "abc");
    expect(problem).toMatchObject({
      status: 500,
      code: "internal.bug",
      detail: "reference abc",
      traceId: "abc",
    });
    expect(JSON.stringify(problem)).not.toContain("hunter2");
    expect(
      JSON.stringify(problemOf(new JetclawError("nats.unavailable", "nats://u:hunter2@h"), "abc")),
    ).not.toContain("hunter2");
  });

  test("a wait that ended names the conversation", () => {
    expect(problemOf(new WaitEnded({ session: "ann", id: "m1", turn: 3 }), "t")).toMatchObject({
      status: 504,
      session: "ann",
      id: "m1",
      turn: 3,
      retry: "later",
    });
  });
});
