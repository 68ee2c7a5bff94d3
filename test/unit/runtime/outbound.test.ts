import fc from "fast-check";
import { expect, test } from "vitest";
import { Outbound } from "#runtime/nats/outbound.ts";

const step = fc.oneof(
  fc.string({ unit: "binary", maxLength: 2_000 }).map((text) => ({ text })),
  fc.uint8Array({ maxLength: 40_000 }).map((bytes) => ({ bytes })),
  fc.constant("drain" as const),
);

test("what is drained is what was written, in order, whatever is written afterwards", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const outbound = new Outbound();
      const written: Uint8Array[] = [];
      const drained: Uint8Array[] = [];
      for (const each of [...steps, "drain" as const]) {
        if (each === "drain") {
          drained.push(outbound.drain());
          expect(outbound.size()).toBe(0);
        } else if ("text" in each) {
          outbound.say(each.text);
          written.push(new TextEncoder().encode(each.text));
        } else {
          outbound.fill(each.bytes, each.bytes);
          written.push(each.bytes, each.bytes);
        }
      }
      expect(Buffer.concat(drained).equals(Buffer.concat(written))).toBe(true);
    }),
    { numRuns: 50 },
  );
});

test("a reset forgets what was not handed over", () => {
  const outbound = new Outbound();
  outbound.say("PUB a 1\r\n");
  outbound.reset();
  outbound.say("PING\r\n");
  expect(Buffer.from(outbound.drain()).toString()).toBe("PING\r\n");
});
