// Bytes that anyone may have written: what is no plain value is a decode error at once, whatever it declares.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { decode, decodeUntrusted, encode } from "#contracts/codec.ts";
import { JetclawError } from "#contracts/errors.ts";
import { LIMITS } from "#contracts/limits.ts";

const plain = fc.jsonValue({ maxDepth: 6 }).filter((value) => !JSON.stringify(value).includes("__proto__"));
const invalid = (code: string) => expect.objectContaining({ name: "JetclawError", code });

function codeOf(work: () => unknown): string {
  try {
    work();
    return "decoded";
  } catch (error) {
    return error instanceof JetclawError ? error.code : `not ours: ${String(error)}`;
  }
}

describe("round trip", () => {
  test("plain data comes back as it went in, also as untrusted bytes", () => {
    fc.assert(
      fc.property(plain, (value) => {
        // -0 is a number that JSON and msgpack readers give back as 0.
        const normal = JSON.parse(JSON.stringify(value));
        expect(decode(encode(normal))).toEqual(normal);
        expect(decodeUntrusted(encode(normal))).toEqual(normal);
      }),
    );
  });

  test("binary, large whole numbers, fractions and long texts survive", () => {
    const value = {
      b: new Uint8Array([0, 255, 7]),
      n: 2 ** 52,
      f: -0.125,
      t: "é😀".repeat(40_000),
      none: null,
    };
    const back = decodeUntrusted<typeof value>(encode(value));
    expect({ ...back, b: [...back.b] }).toEqual({ ...value, b: [0, 255, 7] });
  });

  test("what was encoded before does not change when more is encoded", () => {
    const first = encode({ text: "first" });
    const copy = [...first];
    for (let n = 0; n < 5_000; n++) encode({ n, text: "later".repeat(20) });
    expect([...first]).toEqual(copy);
  });

  test("any msgpack reader can read it: objects are maps, not msgpackr's records", () => {
    expect([...encode({ a: 1 })]).toEqual([0x81, 0xa1, 0x61, 1]);
  });

  test("a property that is undefined is left out, as in JSON: null is no value of an optional field", () => {
    const schema = z.object({ note: z.string().optional(), items: z.number() });
    expect(schema.parse(decode(encode({ note: undefined, items: 2 })))).toEqual({ items: 2 });
    expect(decode(encode({ gone: null }))).toEqual({ gone: null });
  });

  test("a key named __proto__ becomes no prototype", () => {
    // {"__proto__": {"admin": true}} as another writer would send it.
    const bytes = Uint8Array.from([
      0x81,
      0xa9,
      ...new TextEncoder().encode("__proto__"),
      0x81,
      0xa5,
      0x61,
      0x64,
      0x6d,
      0x69,
      0x6e,
      0xc3,
    ]);
    const value = decodeUntrusted<Record<string, unknown>>(bytes);
    expect((value as { admin?: unknown }).admin).toBeUndefined();
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(({} as { admin?: unknown }).admin).toBeUndefined();
  });
});

describe("bytes that lie", () => {
  const LIES: readonly (readonly [string, number[]])[] = [
    ["a text of 4 GB", [0xdb, 0xff, 0xff, 0xff, 0xff]],
    ["binary of 4 GB", [0xc6, 0xff, 0xff, 0xff, 0xff]],
    ["a list of 4 billion", [0xdd, 0xff, 0xff, 0xff, 0xff]],
    ["a map of 4 billion", [0xdf, 0xff, 0xff, 0xff, 0xff]],
    ["a map whose doubled length wraps around", [0xdf, 0x80, 0x00, 0x00, 0x00]],
    ["a list of 65,535 in two bytes", [0xdc, 0xff, 0xff, 1]],
    ["a short text without its bytes", [0xa5, 0x61]],
    ["a number without its bytes", [0xcb, 1, 2]],
    ["a length without its bytes", [0xd9]],
    ["bytes after the value", [1, 2]],
    ["nothing", []],
    ["the unused tag", [0xc1]],
    ["a timestamp extension", [0xd6, 0xff, 0, 0, 0, 0]],
    ["a record extension", [0xd4, 0x72, 0x40]],
    ["an extension of 4 GB", [0xc9, 0xff, 0xff, 0xff, 0xff, 1]],
  ];

  test.each(LIES)("%s is a decode error", (_, bytes) => {
    expect(() => decodeUntrusted(Uint8Array.from(bytes))).toThrow(invalid("codec.invalid"));
  });

  test("nesting is taken to the limit and not beyond", () => {
    const nested = (depth: number): Uint8Array => Uint8Array.from([...new Array(depth).fill(0x91), 1]);
    expect(codeOf(() => decodeUntrusted(nested(LIMITS.codecDepth - 1)))).toBe("decoded");
    expect(codeOf(() => decodeUntrusted(nested(LIMITS.codecDepth + 1)))).toBe("codec.invalid");
    expect(codeOf(() => decodeUntrusted(nested(1_000_000)))).toBe("codec.invalid");
  });

  test("more bytes than the limit are refused unread, naming the limit", () => {
    expect(() => decodeUntrusted(new Uint8Array(101), 100)).toThrow(invalid("nats.too-large"));
    expect(() => decodeUntrusted(new Uint8Array(101), 100)).toThrow("at most 100");
  });

  test("every value cut short is a decode error", () => {
    fc.assert(
      fc.property(plain, fc.nat(), (value, cut) => {
        const bytes = encode(value);
        expect(codeOf(() => decodeUntrusted(bytes.subarray(0, cut % bytes.length)))).toBe("codec.invalid");
      }),
    );
  });

  test("random bytes decode or are refused, and nothing else happens", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(codeOf(() => decodeUntrusted(bytes))).toMatch(/^(decoded|codec\.invalid)$/);
      }),
      { numRuns: 3_000 },
    );
  });

  test("a megabyte of the worst bytes costs neither memory nor time worth naming", () => {
    const before = process.memoryUsage().heapUsed;
    const startedAt = performance.now();
    for (const tag of [0xdd, 0xdf, 0x91, 0x81, 0xc1, 0xff])
      codeOf(() => decodeUntrusted(new Uint8Array(1_000_000).fill(tag)));
    expect(performance.now() - startedAt).toBeLessThan(20_000);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(64e6);
  });
});
