// defineActor: what a definition may be, which messages it takes, and how a stored state comes to its version.
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { decode, decodeUntrusted, encode } from "#contracts/codec.ts";
import { type Actor, applyUpgrades, defineActor, parseMessage } from "#runtime/actor/define.ts";
import { draftOf, messageOf } from "#test/harness/draft.ts";

const definition = {
  kind: "counter",
  version: 3,
  state: z.object({ n: z.number(), name: z.string() }),
  messages: { add: z.object({ by: z.number().int() }), clear: z.object({}), spoil: z.object({}) },
  initial: () => ({ n: 0, name: "" }),
  upgrades: {
    1: (old: unknown) => ({ n: (old as { count: number }).count }),
    2: (old: unknown) => ({ ...(old as { n: number }), name: "unnamed" }),
  },
  on: {
    add: (actor: Actor<{ n: number; name: string }>, { by }: { by: number }) => {
      actor.state.n += by;
    },
    clear: (actor: Actor<{ n: number; name: string }>) => {
      actor.state = { n: 0, name: "" };
    },
    spoil: (actor: Actor<{ n: number; name: string }>) => {
      (actor.state as { n: unknown }).n = "many";
    },
  },
};
const counter = defineActor(definition);
const code = (expected: string) => expect.objectContaining({ code: expected });

describe("a definition", () => {
  test.each(["", "a b", "a\n", "x".repeat(257)])("of kind %j is refused", (kind) => {
    expect(() => defineActor({ ...definition, kind })).toThrow(code("config.invalid"));
  });

  test.each([0, -1, 1.5, Number.NaN])("of version %d is refused", (version) => {
    expect(() => defineActor({ ...definition, version })).toThrow(code("config.invalid"));
  });
});

describe("a message", () => {
  test("is given to its handler with its body parsed", async () => {
    const draft = draftOf({ state: { n: 1, name: "" } });
    await counter.run(draft, [messageOf("add", { body: counter.parse("add", { by: 2 }) })]);
    expect(draft.state).toEqual({ n: 3, name: "" });
  });

  test("with a wrong body names the field", () => {
    expect(() => counter.parse("add", { by: 1.5 })).toThrow(code("request.invalid"));
    expect(() => counter.parse("add", { by: "2" })).toThrow(/by:/);
    expect(() => counter.parse("add", null)).toThrow(/body:/);
  });

  test("of a type that it does not know names those it knows", () => {
    expect(() => counter.parse("substract", {})).toThrow(code("actor.message-unknown"));
    expect(() => counter.parse("substract", {})).toThrow("add, clear");
  });

  test.each(["__proto__", "constructor", "toString", "hasOwnProperty"])(
    "of type %s is unknown, not a property",
    (type) => {
      expect(() => counter.parse(type, {})).toThrow(code("actor.message-unknown"));
      expect(() => parseMessage("k", {}, type, {})).toThrow(code("actor.message-unknown"));
    },
  );

  test("whose handler leaves a state that the schema refuses fails", async () => {
    const draft = draftOf({ state: { n: 1, name: "" } });
    await expect(counter.run(draft, [messageOf("spoil")])).rejects.toThrow("counter.spoil");
    await expect(counter.run(draft, [messageOf("spoil")])).rejects.toThrow("n: ");
  });

  test.each([
    ["a Map", "kept is a Map", new Map([["x", 1]])],
    ["a Set", "kept is a Set", new Set(["x"])],
    ["a bigint", "kept is a bigint", 5n],
    ["a function", "kept is a function", () => 1],
    ["a value of a class", "kept.0.at is a URL", [{ at: new URL("http://127.0.0.1") }]],
    ["undefined in an array", "kept.1 is undefined", [1, undefined]],
    ["a hole in an array", "kept.0 is undefined", new Array(1)],
  ])("whose handler leaves %s, which the store gives back as something else, fails", async (_, why, kept) => {
    const keeper = defineActor({
      kind: "keeper",
      version: 1,
      state: z.object({ kept: z.any() }),
      messages: { keep: z.object({}) },
      initial: () => ({ kept: null as unknown }),
      on: {
        keep(actor) {
          actor.state.kept = kept;
        },
      },
    });
    const run = keeper.run(draftOf({ state: keeper.initial() }), [messageOf("keep")]);
    await expect(run).rejects.toThrow(`keeper.keep left a state that cannot be kept: state.${why}`);
  });

  test.each([
    ["a Date", "body.at is a Date", { at: new Date() }],
    ["a Map", "body.of.1 is a Map", { of: [1, new Map()] }],
  ])("that holds %s is not sent and sets no timer: whoever gets it could not read it", (_, why, body) => {
    expect(() => draftOf().send("counter", "a", "add", body)).toThrow(why);
    expect(() => draftOf().schedule("t", { afterMs: 1 }, "add", body)).toThrow(why);
  });

  test("is sent as deep as its reader takes it, and not deeper", () => {
    const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);
    const sent = (depth: number): Uint8Array => {
      const draft = draftOf();
      const body = nested(depth);
      draft.send("counter", "a", "add", body);
      return encode({ v: 1, body });
    };
    const readable = (depth: number): boolean => {
      try {
        decodeUntrusted(sent(depth));
        return true;
      } catch (error) {
        expect(String(error)).toMatch(/cannot be sent: body[.0]+ is nested/);
        return false;
      }
    };
    expect([62, 63, 64, 65, 66].map(readable)).toEqual([true, false, false, false, false]);
  });

  test("may leave dates, bytes, nothing, and what is undefined", async () => {
    const state = z.object({
      at: z.date(),
      raw: z.instanceof(Uint8Array),
      none: z.null(),
      note: z.string().optional(),
    });
    const full = { at: new Date(5), raw: Uint8Array.of(1, 2), none: null, note: undefined };
    const keeper = defineActor({
      kind: "keeper",
      version: 1,
      state,
      messages: { keep: z.object({}) },
      initial: () => full,
      on: { keep: () => {} },
    });
    const draft = draftOf({ state: keeper.initial() });
    await keeper.run(draft, [messageOf("keep")]);
    expect(state.parse(decode(encode(draft.state)))).toMatchObject({ at: new Date(5), none: null });
  });
});

describe("a stored state", () => {
  test("of any older version passes every upgrade on the way", () => {
    expect(counter.upgrade({ count: 4 }, 1)).toEqual({ n: 4, name: "unnamed" });
    expect(counter.upgrade({ n: 4 }, 2)).toEqual({ n: 4, name: "unnamed" });
    expect(counter.upgrade({ n: 4, name: "x" }, 3)).toEqual({ n: 4, name: "x" });
  });

  test("of a newer version is left alone and says which code knows what", () => {
    expect(() => counter.upgrade({}, 4)).toThrow(code("actor.state-newer"));
    expect(() => counter.upgrade({}, 4)).toThrow("version 4, this code knows 3");
  });

  test("with a gap in the upgrades names the missing one", () => {
    expect(() => applyUpgrades("k", 3, { 1: (s) => s }, {}, 1)).toThrow("no upgrade from version 2");
  });

  test("that the upgrades leave wrong is not taken", () => {
    expect(() => counter.upgrade({ count: "four" }, 1)).toThrow();
  });
});

test("the view is the whole state unless the kind says otherwise", () => {
  expect(counter.view({ n: 1, name: "x" })).toEqual({ n: 1, name: "x" });
  expect(defineActor({ ...definition, view: (s: { n: number }) => s.n }).view({ n: 1, name: "x" })).toBe(1);
});
