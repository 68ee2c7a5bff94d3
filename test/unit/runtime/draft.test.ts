// What a handler records: effects under ids that a second run gives again, timers that outrank the ones before, and
// replies to whoever asked.
import { describe, expect, test } from "vitest";
import { decode } from "#contracts/codec.ts";
import { decodeEnvelope } from "#contracts/envelope.ts";
import { LIMITS } from "#contracts/limits.ts";
import { inboundSubject, routeOf, timerSubject } from "#contracts/subjects.ts";
import type { Draft } from "#runtime/actor/draft.ts";
import { draftOf, messageOf, ROUTE } from "#test/harness/draft.ts";

const work = (draft: Draft): Draft => {
  draft.send("basket", "ann", "add", { n: 1 });
  draft.schedule("remind", { afterMs: 500 }, "reminded", {});
  draft.append("turn.0.web.demo.s", (id) => ({ id }));
  draft.emit("tok.demo.s.1", {});
  draft.purge("TOKENS", "tok.demo.s.*");
  return draft;
};
const replies = (draft: Draft): [string, unknown][] =>
  draft.effects.flatMap((e) => (e.k === "emit" ? [[e.subject, decode(e.data as Uint8Array)]] : []));

describe("the ids of effects", () => {
  test("are the same when the handler runs again over the same revision", () => {
    expect(work(draftOf()).effects.map((e) => e.id)).toEqual(work(draftOf()).effects.map((e) => e.id));
  });

  test("are different from each other and from those of every other revision and actor", () => {
    const other = draftOf({ route: routeOf({ kind: "counter", tenant: "demo", key: "other" }) });
    const all = [work(draftOf()), work(draftOf({ revision: 8 })), work(other)].flatMap((d) =>
      d.effects.map((e) => e.id),
    );
    expect(new Set(all).size).toBe(15);
    expect(all[0]).toBe(`${ROUTE.path}.7.0`);
  });

  test("are given to the body that is appended", () => {
    const draft = draftOf();
    const id = draft.append("turn.0.web.demo.s", (given) => ({ given }));
    expect(decode(draft.effects[0]?.data as Uint8Array)).toEqual({ given: id });
  });
});

describe("a message to another actor", () => {
  test("stays in the tenant, names its cause and goes to the right partition", () => {
    const draft = draftOf({ burst: [messageOf("go", { id: "cause" })] });
    draft.send("basket", "a n n".replaceAll(" ", "."), "add", { n: 1 });
    const [effect] = draft.effects;
    const to = routeOf({ kind: "basket", tenant: "demo", key: "a.n.n" });
    expect(effect?.subject).toBe(inboundSubject(to));
    expect(decodeEnvelope(effect?.data as Uint8Array)).toMatchObject({
      id: effect?.id,
      tenant: "demo",
      key: "a.n.n",
      causation: "cause",
      at: 1_000,
    });
  });

  test("that no stream would carry fails the handler, naming the limit", () => {
    const tooLarge = () => draftOf().send("basket", "ann", "add", "x".repeat(LIMITS.envelopeBytes));
    expect(tooLarge).toThrow(expect.objectContaining({ code: "nats.too-large" }));
    expect(tooLarge).toThrow(String(LIMITS.envelopeBytes));
  });
});

describe("a timer", () => {
  const generationOf = (draft: Draft): number => draft.timers.remind as number;

  test("carries the generation that the state remembers", () => {
    const draft = draftOf();
    draft.schedule("remind", { at: 9_000 }, "reminded", { n: 1 });
    const [effect] = draft.effects;
    expect(effect).toMatchObject({
      k: "schedule",
      at: 9_000,
      target: inboundSubject(ROUTE),
      subject: timerSubject(ROUTE, "remind"),
    });
    expect(decodeEnvelope(effect?.data as Uint8Array).timer).toEqual({
      name: "remind",
      generation: generationOf(draft),
    });
  });

  test("that replaces another has the higher generation, in one run and in later ones", () => {
    const draft = draftOf();
    draft.schedule("remind", { afterMs: 1 }, "reminded", {});
    const first = generationOf(draft);
    for (let n = 0; n < 200; n++) draft.send("basket", "ann", "add", {});
    draft.schedule("remind", { afterMs: 1 }, "reminded", {});
    const second = generationOf(draft);
    const later = draftOf({ revision: 8, timers: draft.timers });
    later.schedule("remind", { afterMs: 1 }, "reminded", {});
    expect(second).toBeGreaterThan(first);
    expect(generationOf(later)).toBeGreaterThan(second);
  });

  test("of a run with thousands of effects has the generation of none of the next run", () => {
    const many = draftOf();
    const generations = new Set<number>();
    for (let n = 0; n < 1_500; n++) {
      if (n % 2 === 0) many.send("basket", "ann", "add", {});
      many.schedule("remind", { afterMs: 1 }, "reminded", {});
      generations.add(generationOf(many));
    }
    const later = draftOf({ revision: 8 });
    for (let n = 0; n < 999; n++) {
      later.schedule("remind", { afterMs: 1 }, "reminded", {});
      expect(generations.has(generationOf(later))).toBe(false);
    }
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, 1e300, LIMITS.timerLatestAt + 1])(
    "at %d, which no stream can keep, fails the handler",
    (at) => {
      expect(() => draftOf().schedule("remind", { at }, "reminded", {})).toThrow(
        expect.objectContaining({ code: "request.invalid" }),
      );
    },
  );

  test("in the past is due at once", () => {
    const draft = draftOf();
    draft.schedule("remind", { at: -1e300 }, "reminded", {});
    expect(draft.effects[0]).toMatchObject({ at: 0 });
  });

  test("that is cancelled is forgotten and its schedule removed; one that is not there costs nothing", () => {
    const draft = draftOf({ timers: { remind: 6_001 } });
    draft.cancel("constructor");
    expect(draft.effects).toEqual([]);
    draft.cancel("remind");
    expect(draft.timers).toEqual({});
    expect(draft.effects[0]).toMatchObject({ k: "purge", subject: timerSubject(ROUTE, "remind") });
  });

  test("leaves the timers of the state alone until the commit", () => {
    const timers = Object.freeze({ other: 1 });
    const draft = draftOf({ timers });
    draft.schedule("remind", { afterMs: 1 }, "reminded", {});
    expect(timers).toEqual({ other: 1 });
    expect(Object.keys(draft.timers)).toEqual(["other", "remind"]);
  });
});

describe("a reply", () => {
  test("goes to the caller of the message that is being handled", () => {
    const burst = ["a", "b"].map((id) => messageOf("go", { id, replyTo: `_INBOX.${id}` }));
    const draft = draftOf({ burst });
    for (const message of [...burst].reverse()) {
      draft.handling(message);
      draft.reply(message.id);
    }
    expect(replies(draft)).toEqual([
      ["_INBOX.b", { value: "b" }],
      ["_INBOX.a", { value: "a" }],
    ]);
  });

  test("that is never given is made up for: the caller hears that its message was processed", () => {
    const burst = ["a", "b", "c"].map((id) =>
      messageOf("go", { id, ...(id === "c" ? {} : { replyTo: `_INBOX.${id}` }) }),
    );
    const draft = draftOf({ burst });
    draft.handling(burst[0]!);
    draft.reply(undefined);
    draft.answerSilent();
    expect(replies(draft)).toEqual([
      ["_INBOX.a", { value: null }],
      ["_INBOX.b", {}],
    ]);
  });

  test("to nobody is no error and no effect", () => {
    const draft = draftOf();
    draft.reply("hello?");
    draft.answerSilent();
    expect(draft.effects).toEqual([]);
  });
});
