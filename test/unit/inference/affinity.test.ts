// Which endpoint serves a conversation: stable, balanced, moved as little as possible, left when staying costs more.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { affinityKey, type EndpointLoad, orderEndpoints } from "#actors/inference/affinity.ts";

const of = (...ids: string[]) => ids.map((id) => ({ id }));
const ids = fc.uniqueArray(fc.oneof(fc.webUrl(), fc.string({ minLength: 1 })), {
  minLength: 1,
  maxLength: 8,
});
const key = fc.string({ unit: "binary" });
const loads = fc.array(fc.record({ resting: fc.boolean(), full: fc.boolean(), waitMs: fc.nat(2_000) }), {
  minLength: 8,
  maxLength: 8,
});
const keys = Array.from({ length: 4_000 }, (_, n) =>
  affinityKey({ tenant: "demo", session: `s${n}`, messages: [] }),
);

describe("the order of endpoints", () => {
  test("holds each endpoint once, whatever their load", () => {
    fc.assert(
      fc.property(ids, key, loads, (names, k, load) => {
        const ordered = orderEndpoints(of(...names), k, ({ id }) => load[names.indexOf(id)] ?? {});
        expect(ordered.map(({ id }) => id).sort()).toEqual([...names].sort());
      }),
    );
  });

  test("is the same in every worker, however its list is ordered", () => {
    fc.assert(
      fc.property(ids, key, (names, k) => {
        expect(orderEndpoints(of(...names.toReversed()), k)).toEqual(orderEndpoints(of(...names), k));
      }),
    );
  });

  test("moves only the conversations of an endpoint that goes, and only to one that comes", () => {
    fc.assert(
      fc.property(ids, key, fc.nat(7), (names, k, n) => {
        const [before] = orderEndpoints(of(...names), k);
        const gone = names[n % names.length];
        const [after] = orderEndpoints(of(...names.filter((name) => name !== gone)), k);
        if (before?.id !== gone) expect(after).toEqual(before);
      }),
    );
  });

  test("never begins with one that rests while another works, nor with a full one while another has room", () => {
    fc.assert(
      fc.property(ids, key, loads, (names, k, load) => {
        const stand = (id: string): EndpointLoad => load[names.indexOf(id)] ?? {};
        const [first] = orderEndpoints(of(...names), k, ({ id }) => stand(id));
        const trouble = (id: string) => (stand(id).resting ? 2 : 0) + (stand(id).full ? 1 : 0);
        expect(trouble(first?.id ?? "")).toBe(Math.min(...names.map(trouble)));
      }),
    );
  });

  test("never makes a conversation wait longer than its prefix saves", () => {
    fc.assert(
      fc.property(ids, key, fc.array(fc.nat(2_000), { minLength: 8, maxLength: 8 }), (names, k, waits) => {
        const wait = (id: string) => waits[names.indexOf(id)] ?? 0;
        const [first] = orderEndpoints(of(...names), k, ({ id }) => ({ waitMs: wait(id) }), 300);
        expect(wait(first?.id ?? "")).toBeLessThanOrEqual(Math.min(...names.map(wait)) + 300);
      }),
    );
  });

  test.each([2, 3, 5, 8])("spreads sessions evenly over %i servers of one network", (count) => {
    const endpoints = of(...Array.from({ length: count }, (_, n) => `http://10.0.0.${n + 1}:8000/v1`));
    const hits = new Map<string, number>();
    for (const each of keys) {
      const id = orderEndpoints(endpoints, each)[0]?.id ?? "";
      hits.set(id, (hits.get(id) ?? 0) + 1);
    }
    const fair = keys.length / count;
    for (const { id } of endpoints) expect(Math.abs((hits.get(id) ?? 0) / fair - 1)).toBeLessThan(0.15);
  });

  test("knows a chat of a stateless client by how it begins", () => {
    const ask = (...contents: string[]) =>
      affinityKey({
        tenant: "demo",
        session: `request-${contents.length}`,
        replyTo: "reply.here",
        messages: [
          { role: "system", content: "Be brief." },
          ...contents.map((content, n) => ({
            role: n % 2 === 0 ? ("user" as const) : ("assistant" as const),
            content,
          })),
        ],
      });
    expect(ask("hello", "hi", "and then?")).toBe(ask("hello"));
    expect(ask("good morning")).not.toBe(ask("hello"));
  });

  test("stays for a wait that the prefix pays, leaves for a longer one", () => {
    const endpoints = of("a", "b");
    const [home] = orderEndpoints(endpoints, "k");
    const waiting = (waitMs: number) =>
      orderEndpoints(endpoints, "k", ({ id }) => (id === home?.id ? { waitMs } : {}), 100)[0]?.id;
    expect(waiting(100)).toBe(home?.id);
    expect(waiting(101)).not.toBe(home?.id);
    expect(orderEndpoints([], "k")).toEqual([]);
  });
});
