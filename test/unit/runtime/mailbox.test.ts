// An actor's queue in memory: bounded, in order across parking and reading back, suspects alone.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ENVELOPE_VERSION } from "#contracts/envelope.ts";
import { LIMITS } from "#contracts/limits.ts";
import { type Delivery, Mailbox } from "#runtime/actor/mailbox.ts";

const delivery = (seq: number, suspect = false, bytes = 1): Delivery => ({
  seq,
  bytes,
  suspect,
  ack: () => {},
  envelope: {
    v: ENVELOPE_VERSION,
    id: `m${seq}`,
    tenant: "t",
    kind: "k",
    key: "x",
    type: "go",
    body: null,
    at: 0,
  },
});
const seqs = (of: readonly { seq: number }[]): number[] => of.map(({ seq }) => seq);

/** `meanwhile` happens while the parked messages are read. */
function refill(mailbox: Mailbox, meanwhile = (): void => {}): void {
  if (!mailbox.wantsRefill) return;
  const read = mailbox.nextParked();
  meanwhile();
  mailbox.refill(
    read.length,
    read.map(({ seq, suspect }) => delivery(seq, suspect)),
  );
}

describe("a mailbox", () => {
  test("gives messages in the order they came, whatever is parked, put back, or comes while others are read back", () => {
    const step = fc.oneof(
      fc.record({
        do: fc.constant("push" as const),
        suspect: fc.boolean(),
        // Fewer would hardly ever be more than are taken.
        comes: fc.integer({ min: 1, max: 8 }),
      }),
      fc.record({
        do: fc.constant("take" as const),
        most: fc.integer({ min: 1, max: 5 }),
        comes: fc.integer({ min: 0, max: 3 }),
      }),
      fc.record({ do: fc.constant("fail" as const), most: fc.integer({ min: 1, max: 5 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 1, max: 6 }), (steps, limit) => {
        const mailbox = new Mailbox(limit);
        const got: number[] = [];
        let pushed = 0;
        let inMemory = 0;
        const push = (comes: number, suspect = false): void => {
          for (let n = 0; n < comes; n++) if (mailbox.push(delivery(++pushed, suspect))) inMemory++;
        };
        for (const each of steps) {
          if (each.do === "push") push(each.comes, each.suspect);
          else {
            refill(mailbox, () => push(each.do === "take" ? each.comes : 0));
            const batch = mailbox.take(each.most);
            expect(batch.length).toBeLessThanOrEqual(each.most);
            if (batch.some((d) => d.suspect)) expect(batch).toHaveLength(1);
            if (each.do === "fail") mailbox.putBack(batch);
            else got.push(...seqs(batch));
          }
          expect(mailbox.length).toBeLessThanOrEqual(limit);
        }
        while (!mailbox.isEmpty) {
          refill(mailbox);
          got.push(...seqs(mailbox.take(3)));
        }
        expect(got).toEqual(Array.from({ length: pushed }, (_, n) => n + 1));
        expect(inMemory).toBeLessThanOrEqual(pushed);
      }),
    );
  });

  test("says which messages it holds in memory, and keeps no body of those it parked", () => {
    const mailbox = new Mailbox(2);
    expect([1, 2, 3].map((seq) => mailbox.push(delivery(seq)))).toEqual([true, true, false]);
    mailbox.take(2);
    // Room again, but an older one is parked: the newer one may not overtake it.
    expect(mailbox.push(delivery(4))).toBe(false);
    const read = mailbox.nextParked();
    expect(read.every((parked) => !("envelope" in parked))).toBe(true);
    // Nor while the older ones are read back.
    expect(mailbox.push(delivery(5))).toBe(false);
    mailbox.refill(
      read.length,
      read.map(({ seq }) => delivery(seq)),
    );
    expect(seqs(mailbox.take(9))).toEqual([3, 4]);
  });

  test("holds as many as the limit says", () => {
    const mailbox = new Mailbox();
    const held = Array.from({ length: LIMITS.mailboxMessages + 5 }, (_, n) => mailbox.push(delivery(n)));
    expect(held.filter(Boolean)).toHaveLength(LIMITS.mailboxMessages);
  });

  test("holds as many bytes as the limit says, and at least one message, however they came and went", () => {
    const half = LIMITS.mailboxBytes / 2;
    const mailbox = new Mailbox();
    const push = (seq: number, bytes: number): boolean => mailbox.push(delivery(seq, false, bytes));
    expect([push(1, 3 * half), push(2, 1)]).toEqual([true, false]);
    expect(seqs(mailbox.take(9))).toEqual([1]);
    const read = mailbox.nextParked();
    mailbox.refill(read.length, [delivery(2, false, half)]);
    expect([push(3, half), push(4, 1)]).toEqual([true, false]);
    mailbox.putBack(mailbox.take(9));
    expect(seqs(mailbox.park())).toEqual([2, 3]);
    mailbox.clear();
    expect([push(5, half), push(6, half), push(7, 1)]).toEqual([true, true, false]);
  });

  test("forgets everything at once and says what of it was in memory", () => {
    const mailbox = new Mailbox(2);
    for (const seq of [1, 2, 3]) mailbox.push(delivery(seq));
    expect(seqs(mailbox.clear())).toEqual([1, 2]);
    expect(mailbox.isEmpty).toBe(true);
    expect(mailbox.take(5)).toEqual([]);
  });
});
