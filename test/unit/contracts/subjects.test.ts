// Names of streams and subjects: whatever the ids are, a subject has its own number of tokens and names one thing.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isId, PARTITIONS, shardOf, tokenOf } from "#contracts/ids.ts";
import {
  bellLaneFilter,
  CLASSES,
  CORE,
  deadLetterSubject,
  deadLetterSubjectOf,
  inboundFilter,
  inboundSubject,
  inboundSubjects,
  inferLaneFilter,
  inferSessionFilter,
  inferSubject,
  knowledgeFilter,
  knowledgeSubject,
  parseInbound,
  routeOf,
  timerFilter,
  timerSubject,
  tokensSessionFilter,
  tokensSubject,
  turnSessionFilter,
  turnSubject,
} from "#contracts/subjects.ts";

const hostile = fc.constantFrom(
  "*",
  ">",
  "a.b",
  ".",
  "..",
  "$JS.API.STREAM.DELETE.X",
  "a.>",
  "=",
  "__proto__",
);
const id = fc.oneof(hostile, fc.string({ unit: "binary", minLength: 1, maxLength: 64 }).filter(isId));
const lane = fc.constantFrom(0 as const, 1 as const);
const cls = fc.constantFrom(...CLASSES);

/** NATS' own matching: `*` is one token, `>` the rest. */
function matches(filter: string, subject: string): boolean {
  const wanted = filter.split(".");
  const given = subject.split(".");
  for (const [n, token] of wanted.entries()) {
    if (token === ">") return given.length > n;
    if (given[n] === undefined || (token !== "*" && token !== given[n])) return false;
  }
  return wanted.length === given.length;
}

describe("no id escapes its token", () => {
  const cases: readonly (readonly [string, number, (a: string, b: string, c: string) => string])[] = [
    ["inbound", 5, (kind, tenant, key) => inboundSubject(routeOf({ kind, tenant, key }))],
    ["timer", 6, (tenant, key, timer) => timerSubject(routeOf({ kind: "k", tenant, key }), timer)],
    ["job", 6, (pool, tenant, session) => inferSubject({ pool, cls: "new", lane: 0, tenant, session })],
    ["chunk", 4, (tenant, session) => tokensSubject(tenant, session, 3)],
    ["turn record", 5, (channel, tenant, session) => turnSubject(0, channel, tenant, session)],
    ["document", 4, (tenant, collection, document) => knowledgeSubject(tenant, collection, document)],
    ["dead letter", 6, (stream, tenant, key) => deadLetterSubject(stream, { kind: "k", tenant, key }, "0f")],
    ["control", 3, (tenant, session) => CORE.control(tenant, session)],
  ];

  test.each(cases)("%s subjects have %i tokens of harmless letters", (_, tokens, build) => {
    fc.assert(
      fc.property(id, id, id, (a, b, c) => {
        const parts = build(a, b, c).split(".");
        expect(parts).toHaveLength(tokens);
        for (const part of parts) expect(part).toMatch(/^=?[A-Za-z0-9_-]+$/);
      }),
    );
  });
});

describe("an inbound subject", () => {
  test("reads back as the actor and partition it was built of", () => {
    fc.assert(
      fc.property(id, id, id, (kind, tenant, key) => {
        const route = routeOf({ kind, tenant, key });
        expect(parseInbound(inboundSubject(route))).toEqual({
          partition: route.partition,
          path: route.path,
          partitionOfPath: route.partition,
        });
      }),
    );
  });

  test("shows that its publisher computed another partition", () => {
    const route = routeOf({ kind: "k", tenant: "t", key: "x" });
    const wrong = (route.partition + 1) % PARTITIONS;
    expect(parseInbound(`in.${wrong}.${route.path}`)).toMatchObject({
      partition: wrong,
      partitionOfPath: route.partition,
    });
  });

  test.each(["in.1.k.t", "in.1.k.t.x.y", "out.1.k.t.x", "sched.1.k.t.x", ""])("%j is none", (subject) => {
    expect(parseInbound(subject)).toBeUndefined();
  });

  test("and its timers are in the one shard that carries the partition", () => {
    fc.assert(
      fc.property(id, id, fc.constantFrom(1, 2, 4, 8, 16), (tenant, key, shards) => {
        const route = routeOf({ kind: "k", tenant, key });
        for (const subject of [inboundSubject(route), timerSubject(route, "t")]) {
          const carriers = Array.from({ length: shards }, (_, s) => s).filter((s) =>
            inboundSubjects(s, shards).some((filter) => matches(filter, subject)),
          );
          expect(carriers).toEqual([shardOf(route.partition, shards)]);
        }
      }),
      { numRuns: 30 },
    );
  });

  test("a timer waits outside the consumer's filter until it fires", () => {
    const route = routeOf({ kind: "k", tenant: "t", key: "x" });
    expect(matches(inboundFilter(route.partition), inboundSubject(route))).toBe(true);
    expect(matches(inboundFilter(route.partition), timerSubject(route, "t"))).toBe(false);
  });
});

describe("a session's filters", () => {
  test("match what is its own and nothing of another session or tenant", () => {
    fc.assert(
      fc.property(id, id, id, id, cls, lane, (tenant, session, otherTenant, otherSession, c, l) => {
        const same = tenant === otherTenant && session === otherSession;
        const pairs = (t: string, s: string): [string, string][] => [
          [tokensSessionFilter(tenant, session), tokensSubject(t, s, 9)],
          [turnSessionFilter(1, tenant, session), turnSubject(1, "web", t, s)],
          [
            inferSessionFilter("p", tenant, session),
            inferSubject({ pool: "p", cls: c, lane: l, tenant: t, session: s }),
          ],
          [
            timerFilter(routeOf({ kind: "k", tenant, key: session })),
            timerSubject(routeOf({ kind: "k", tenant: t, key: s }), "settle"),
          ],
        ];
        for (const [filter, subject] of pairs(tenant, session)) expect(matches(filter, subject)).toBe(true);
        for (const [filter, subject] of pairs(otherTenant, otherSession))
          expect(matches(filter, subject)).toBe(same);
      }),
    );
  });

  test("a lane's filter takes the jobs of its class and lane only", () => {
    fc.assert(
      fc.property(cls, lane, cls, lane, id, (c, l, otherClass, otherLane, session) => {
        const subject = inferSubject({ pool: "p", cls: otherClass, lane: otherLane, tenant: "t", session });
        expect(matches(inferLaneFilter("p", c, l), subject)).toBe(c === otherClass && l === otherLane);
        const bell = `bell${subject.slice("infer".length)}`;
        expect(matches(bellLaneFilter("p", c, l), bell)).toBe(c === otherClass && l === otherLane);
      }),
    );
  });

  test("a tenant's documents are found by tenant, by collection, or all", () => {
    const subject = knowledgeSubject("t.1", "shop", "a b");
    expect(
      [knowledgeFilter(), knowledgeFilter("t.1"), knowledgeFilter("t.1", "shop")].every((f) =>
        matches(f, subject),
      ),
    ).toBe(true);
    expect([knowledgeFilter("t.2"), knowledgeFilter("t.1", "help")].some((f) => matches(f, subject))).toBe(
      false,
    );
  });
});

test("the dead letter of an unreadable job is found under its session all the same", () => {
  const subject = inferSubject({ pool: "a.b", cls: "new", lane: 0, tenant: "t.1", session: "s.1" });
  const letter = deadLetterSubjectOf("INFER-p", subject, "conversation", "0f");
  expect(letter.endsWith(`.conversation.${tokenOf("t.1")}.${tokenOf("s.1")}.0f`)).toBe(true);
  expect(letter.split(".")).toHaveLength(6);
});
