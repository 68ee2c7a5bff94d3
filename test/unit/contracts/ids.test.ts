// Ids from outside: which are taken, how they become tokens, and where their actors live. Every publisher in any
// language has to agree with these numbers, so some are written down.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fnv1a, isId, PARTITIONS, partitionOf, shardOf, tokenOf } from "#contracts/ids.ts";
import { routeOf } from "#contracts/subjects.ts";

const ODD_BUT_PLAIN = [
  ...["a.b", "*", ">", "a..b", ".a", "$JS.API.STREAM.DELETE.X", "__proto__", "constructor", "<m@host>"],
  // The second and third look like the first: Cyrillic letters, then a full-width one.
  ...["1.2.3.4:5", "paypal", "p\u0430yp\u0430l", "\uff50aypal", "a", "\u{1f600}", "=x", "a".repeat(256)],
];
const REFUSED: readonly (readonly [string, unknown])[] = [
  ["the empty string", ""],
  ["a space", "a b"],
  ["a tab", "a\tb"],
  ["CR LF", "a\r\nNats-TTL: 1"],
  ["NUL", "a\0b"],
  ["a no-break space", "a\u00a0b"],
  ["a line separator", "a\u2028b"],
  ["DEL", "a\u007fb"],
  ["a lone high surrogate", "a\ud800b"],
  ["a lone low surrogate", "\udc00"],
  ["257 characters", "a".repeat(257)],
  ["5,000 characters", "a".repeat(5_000)],
  ["a number", 7],
  ["nothing", undefined],
  ["a list", ["a"]],
];
const anyId = fc.string({ unit: "binary", minLength: 1, maxLength: 256 }).filter(isId);

describe("an id from outside", () => {
  test.each(ODD_BUT_PLAIN)("%j is a plain id", (id) => {
    expect(isId(id)).toBe(true);
  });

  test.each(REFUSED)("%s is refused", (_, id) => {
    expect(isId(id)).toBe(false);
  });

  test("each of the odd ones is an actor of its own", () => {
    expect(new Set(ODD_BUT_PLAIN.map(tokenOf)).size).toBe(ODD_BUT_PLAIN.length);
  });

  test("a client cannot write another id's token: what looks like one is hashed again", () => {
    const token = tokenOf("a.b");
    expect(token.startsWith("=")).toBe(true);
    expect(tokenOf(token)).not.toBe(token);
  });
});

describe("a token", () => {
  test("is made of letters that mean nothing in a subject and is short", () => {
    fc.assert(
      fc.property(
        anyId,
        (id) => void expect(tokenOf(id)).toMatch(/^(=[A-Za-z0-9_-]{43}|[A-Za-z0-9_-]{1,64})$/),
      ),
    );
  });

  test("is the id itself where the id is plain", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/), (id) => void expect(tokenOf(id)).toBe(id)),
    );
    expect(tokenOf("a".repeat(65))).not.toBe("a".repeat(65));
  });

  test("differs where the ids differ", () => {
    fc.assert(fc.property(anyId, anyId, (a, b) => void expect(tokenOf(a) === tokenOf(b)).toBe(a === b)));
  });

  test("has the value that other languages compute", () => {
    // printf '%s' a.b | openssl dgst -sha256 -binary | base64 | tr '+/' '-_' | tr -d =
    expect(tokenOf("a.b")).toBe("=LnM23I66h-9HLfVow1SCq_JXXcPl6sDFxiuP-urCyTQ");
  });
});

describe("the partition of an actor", () => {
  test("is FNV-1a-32 as its authors published it", () => {
    expect([fnv1a(""), fnv1a("a"), fnv1a("foobar")]).toEqual([0x811c9dc5, 0xe40c292c, 0xbf9cf968]);
  });

  test("never moves: these were provisioned once", () => {
    expect(partitionOf("conversation", "demo", "s1")).toBe(51);
    expect(partitionOf("basket", "shop", "ann")).toBe(6);
    expect(partitionOf("conversation", "demo", tokenOf("a.b"))).toBe(9);
    expect(PARTITIONS).toBe(64);
  });

  test("is in range, the same each time, and decided by the tokens", () => {
    fc.assert(
      fc.property(anyId, anyId, (tenant, key) => {
        const route = routeOf({ kind: "conversation", tenant, key });
        expect(route.partition).toBe(partitionOf("conversation", tokenOf(tenant), tokenOf(key)));
        expect(route.partition).toBeGreaterThanOrEqual(0);
        expect(route.partition).toBeLessThan(PARTITIONS);
      }),
    );
  });

  test("spreads sessions evenly enough that none holds twice its share", () => {
    const load = new Array<number>(PARTITIONS).fill(0);
    for (let n = 0; n < 64_000; n++) load[partitionOf("conversation", "demo", `session-${n}`)]!++;
    expect(Math.max(...load)).toBeLessThan(2_000);
    expect(Math.min(...load)).toBeGreaterThan(500);
  });

  test("belongs to exactly one shard, and every shard carries the same number", () => {
    for (const shards of [1, 2, 4, 8, 16]) {
      const counts = new Array<number>(shards).fill(0);
      for (let p = 0; p < PARTITIONS; p++) counts[shardOf(p, shards)]!++;
      expect(new Set(counts)).toEqual(new Set([PARTITIONS / shards]));
    }
  });
});
