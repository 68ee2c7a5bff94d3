// defineActor: what a definition may be, which messages it takes, and how a stored state comes to its version.
import { describe, expect, test } from "vitest";
import { z } from "zod";
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
