import { describe, expect, it } from "vitest";
import { batchWrites } from "#runtime/nats/write-batching.ts";

/** What `batchWrites` sees of a connection, and what its socket was given by each write. */
function connection() {
  const writes: string[] = [];
  const socket = { write: (bytes: Uint8Array) => writes.push(new TextDecoder().decode(bytes)) };
  const protocol = {
    connected: true,
    infoReceived: true,
    outbound: { size: () => 0 },
    transport: { socket },
    flushPending() {},
    sendCommand(_: string) {},
  };
  const { now } = batchWrites({ protocol } as unknown as Parameters<typeof batchWrites>[0]);
  return { writes, publish: (message: string) => protocol.sendCommand(message), now };
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("writes of a turn of the event loop", () => {
  it("leave together when the turn is over", async () => {
    const { writes, publish } = connection();
    publish("a");
    await Promise.resolve();
    publish("b");
    expect(writes).toEqual([]);
    await turn();
    expect(writes).toEqual(["ab"]);
  });

  it("leave at once with the first hurried message, and once more with all others", async () => {
    const { writes, publish, now } = connection();
    publish("a");
    publish(" hurried");
    now();
    expect(writes).toEqual(["a hurried"]);
    publish("b");
    publish(" hurried too");
    now();
    await turn();
    expect(writes).toEqual(["a hurried", "b hurried too"]);
    publish("of the next turn");
    now();
    expect(writes).toHaveLength(3);
  });
});
