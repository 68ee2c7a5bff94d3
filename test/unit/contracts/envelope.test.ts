// The envelope around everything an actor receives: what is not one is refused before anybody acts on it.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encode } from "#contracts/codec.ts";
import { decodeEnvelope, ENVELOPE_VERSION, type Envelope, encodeEnvelope } from "#contracts/envelope.ts";
import { isId } from "#contracts/ids.ts";

const envelope: Envelope = {
  v: ENVELOPE_VERSION,
  id: "m-1",
  tenant: "demo",
  kind: "conversation",
  key: "s-1",
  type: "user",
  body: { parts: [{ type: "text", text: "hi" }] },
  at: 1_700_000_000_000,
};
const id = fc.string({ unit: "binary", minLength: 1, maxLength: 32 }).filter(isId);

test("an envelope comes back as it went in, whatever its ids and body", () => {
  fc.assert(
    fc.property(
      id,
      id,
      id,
      fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.string()),
      (messageId, key, type, body) => {
        const sent = {
          ...envelope,
          id: messageId,
          key,
          type,
          body,
          deadline: 5,
          timer: { name: "t", generation: 7 },
        };
        expect(decodeEnvelope(encodeEnvelope(sent))).toEqual(sent);
      },
    ),
  );
});

test("fields that other writers send as nil count as absent", () => {
  const bytes = encode({ ...envelope, trace: null, replyTo: null, timer: null, deadline: null });
  expect(decodeEnvelope(bytes)).toMatchObject({ trace: undefined, replyTo: undefined, timer: undefined });
});

test("ids with a dot, a wildcard or a property's name are kept as they are", () => {
  for (const key of ["a.b", "*", "__proto__", "constructor", "<m@host>"])
    expect(decodeEnvelope(encodeEnvelope({ ...envelope, key, id: key })).key).toBe(key);
});

describe("refused", () => {
  const WRONG: readonly (readonly [string, unknown])[] = [
    ["no map", 7],
    ["nil", null],
    ["a list", [1, 2]],
    ["another version", { ...envelope, v: 2 }],
    ["no id", { ...envelope, id: undefined }],
    ["an id with a line break", { ...envelope, id: "a\nb" }],
    ["an empty key", { ...envelope, key: "" }],
    ["a tenant of 300 characters", { ...envelope, tenant: "t".repeat(300) }],
    ["a time that is a text", { ...envelope, at: "now" }],
    ["a reply to a wildcard", { ...envelope, replyTo: "_INBOX.>" }],
    ["a reply to two subjects", { ...envelope, replyTo: "a b" }],
    ["a timer without a generation", { ...envelope, timer: { name: "t" } }],
  ];
  test.each(WRONG)("%s", (_, value) => {
    expect(() => decodeEnvelope(encode(value))).toThrow(expect.objectContaining({ code: "codec.invalid" }));
  });

  test("JSON, which is not msgpack", () => {
    const bytes = new TextEncoder().encode(JSON.stringify(envelope));
    expect(() => decodeEnvelope(bytes)).toThrow(expect.objectContaining({ code: "codec.invalid" }));
  });
});
