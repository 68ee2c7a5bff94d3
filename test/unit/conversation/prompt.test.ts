// What a model is shown, which assistant speaks, and which pool serves it.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Assistants, instructionsFor } from "#actors/conversation/assistants.ts";
import { phrase } from "#actors/conversation/phrases.ts";
import { buildMessages } from "#actors/conversation/prompt.ts";
import type { PastTurn } from "#actors/conversation/turn.ts";
import { PolicyRouter } from "#actors/routing/router.ts";
import { type Config, configSchema } from "#contracts/config.ts";
import type { Passage } from "#contracts/job.ts";

const config = configSchema.parse({
  assistants: {
    shop: { instructions: { en: "Sell.", nl: "Verkoop.", fr: "Vendez." }, knowledge: ["shop"] },
    plain: { instructions: "Be brief." },
  },
  pools: {
    small: { models: [{ name: "mini" }] },
    big: { tier: "premium", models: [{ name: "grand" }, { name: "grander" }] },
  },
});
const assistants = new Assistants(config);
const past = (messages: string[], reply: string): PastTurn => ({
  turn: 1,
  messages: messages.map((text, n) => ({ id: `m${n}`, text, at: 0 })),
  reply,
  citations: [],
  model: "",
  cached: false,
  outcome: "answered",
  at: 0,
});
const passage: Passage = {
  collection: "shop",
  document: "d",
  revision: 1,
  storedAt: 1,
  title: "Delivery",
  text: "Two days.",
  score: 1,
};

describe("the prompt", () => {
  const input = {
    assistant: assistants.get("shop"),
    locale: "nl-BE",
    passages: [passage],
    history: [past(["Hi", "there?"], "Hello!")],
    question: "When?",
  };

  test("begins with what stays the same: instructions, history, then passages with the question", () => {
    const messages = buildMessages(input);
    expect(messages.map((m) => m.role)).toEqual(["system", "user", "assistant", "user"]);
    expect(messages[0]?.content).toMatch(/^Verkoop\.\n\nAnswer from/);
    expect(messages[1]?.content).toBe("Hi\nthere?");
    expect(messages[3]?.content).toBe("Passages:\n\n[1] Delivery\nTwo days.\n\nQuestion: When?");
  });

  test("tells an assistant with knowledge to say that it does not know, also when nothing was found", () => {
    expect(buildMessages({ ...input, passages: [] })[0]?.content).toContain("you do not know");
    expect(buildMessages({ ...input, assistant: assistants.get("plain"), passages: [] })[0]?.content).toBe(
      "Be brief.",
    );
  });

  test("tells what the bot said first with the instructions, and what nobody answered with the next question", () => {
    const messages = buildMessages({
      ...input,
      assistant: { ...assistants.get("plain"), instructions: "" },
      passages: [],
      history: [past([], "Your parcel is on its way."), past(["Stop"], "")],
    });
    expect(messages).toEqual([
      { role: "system", content: "You wrote to the user first:\nYour parcel is on its way." },
      { role: "user", content: "Stop\n\nWhen?" },
    ]);
  });

  test("alternates between user and assistant, whatever the turns were, and leaves nothing out", () => {
    const turn = fc.record({
      messages: fc.array(fc.constantFrom("a?", "b?"), { maxLength: 2 }),
      reply: fc.constantFrom("", "yes", "no"),
    });
    fc.assert(
      fc.property(fc.array(turn, { maxLength: 8 }), (turns) => {
        const history = turns.map(({ messages, reply }) => past(messages, reply));
        const [system, ...rest] = buildMessages({ ...input, passages: [], history });
        expect(system?.role).toBe("system");
        expect(rest.map(({ role }) => role)).toEqual(
          rest.map((_, n) => (n % 2 === 0 ? "user" : "assistant")),
        );
        expect(rest.at(-1)?.role).toBe("user");
        const text = [system, ...rest].map((message) => message?.content).join("\n");
        expect(text.match(/[ab]\?|yes$|no$/gm)?.length ?? 0).toBe(
          turns.reduce((sum, { messages, reply }) => sum + messages.length + (reply ? 1 : 0), 0),
        );
      }),
      { seed: 7 },
    );
  });
});

describe("an assistant", () => {
  test("speaks the language asked for, its base, English, or the first it has", () => {
    const shop = assistants.get("shop");
    expect(
      ["nl", "nl-BE", "nl_BE", "fr-CA", "de", "constructor"].map((locale) => instructionsFor(shop, locale)),
    ).toEqual(["Verkoop.", "Verkoop.", "Verkoop.", "Vendez.", "Sell.", "Sell."]);
    expect(instructionsFor({ ...shop, instructions: { ja: "x" } }, "de")).toBe("x");
  });

  test("that nobody knows is the first one", () => {
    expect([undefined, "nobody", "__proto__", "plain"].map((name) => assistants.get(name).name)).toEqual([
      "shop",
      "shop",
      "shop",
      "plain",
    ]);
  });

  test("has a version that changes with what changes its answers, and only then", () => {
    const version = (change: object, { pools, embeddings }: Partial<Config> = config): string => {
      const { shop } = config.assistants;
      const changed = { assistants: { shop: { ...shop!, ...change } }, pools, embeddings };
      return new Assistants(changed).get("shop").version;
    };
    expect(version({})).toBe(assistants.get("shop").version);
    expect(version({ handover: { after: 2, to: "desk" } })).toBe(version({}));
    for (const change of [{ instructions: "x" }, { knowledge: [] }, { model: "big" }, { temperature: 1 }])
      expect(version(change)).not.toBe(version({}));
    const other = configSchema.parse({
      pools: { default: { models: [{ name: "another", provider: "echo" }] } },
    });
    expect(version({}, other)).not.toBe(version({}));
    // Vectors of another model are like those in cached entries by chance alone.
    const baseUrl = "http://localhost:1/v1";
    const versions = [{ model: "one" }, { model: "two" }, { model: "two", dimensions: 64 }].map(
      (embeddings) => version({}, configSchema.parse({ ...config, embeddings: { baseUrl, ...embeddings } })),
    );
    expect(new Set([version({}), ...versions]).size).toBe(4);
  });

  test("apologises with the reference, in the user's language where it is known", () => {
    expect(phrase("failed", "nl-BE", "abc123")).toMatch(/Sorry.*Referentie abc123/);
    expect(phrase("failed", "ja", "abc123")).toMatch(/Sorry.*Reference abc123/);
    expect(phrase("stopped", undefined)).toBe("Stopped.");
  });
});

describe("the router", () => {
  const router = new PolicyRouter(config);
  const route = (policy: string, tier?: string) =>
    router.route({
      tenant: "t",
      assistant: "shop",
      policy,
      question: "q",
      locale: "en",
      channel: "web",
      cls: "new",
      tier,
    });

  test("takes the pool or the model that the assistant names, else the first pool, and says why", () => {
    expect(route("big")).toMatchObject({ pool: "big", tier: "premium" });
    expect(route("grander")).toMatchObject({ pool: "big", model: "grander" });
    expect(route("auto")).toMatchObject({ pool: "small", tier: "small" });
    expect(route("no such")).toMatchObject({ pool: "small" });
    for (const policy of ["big", "grander", "auto"]) expect(route(policy).reasons[0]).toBeTruthy();
  });

  test("keeps a conversation's tier whatever the assistant now says, unless the tier is gone", () => {
    expect(route("small", "premium")).toMatchObject({ pool: "big", tier: "premium" });
    expect(route("small", "closed down")).toMatchObject({ pool: "small" });
  });

  test("without a pool refuses to start", () => {
    expect(() => new PolicyRouter({ pools: {} })).toThrow(
      expect.objectContaining({ code: "config.invalid" }),
    );
  });
});
