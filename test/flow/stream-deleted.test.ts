// An operator deletes a stream of messages for actors beside its hosts, as before restoring it, and makes it again.
import { expect, test } from "vitest";
import { PARTITIONS } from "#contracts/ids.ts";
import { inboundStream } from "#contracts/subjects.ts";
import { provision } from "#runtime/nats/topology.ts";
import { ActorWorld } from "#test/harness/actor-world.ts";
import { counter, countersOf } from "#test/harness/counter.ts";
import { pause } from "#test/harness/wait.ts";

/** How long after a request that failed the next one is made, at the least. */
const AGAIN_MS = 250;

test("hosts ask for a stream that is gone now and then, and go on when it is there again", async () => {
  const world = await ActorWorld.start(1);
  const { tell, seenWhen } = countersOf(() => world);
  try {
    await world.host([counter]);
    await tell("k", "add", { name: "before" });
    await seenWhen("k", 1);
    let asked = 0;
    const asks = world.bus.subscribe(`$JS.API.CONSUMER.INFO.${inboundStream(0)}.*`, () => void asked++);
    await world.bus.flush();
    const from = performance.now();
    await world.bus.jsm.streams.delete(inboundStream(0));
    await pause(2_000);
    const times = (performance.now() - from) / AGAIN_MS + 2;
    expect(asked).toBeLessThan(PARTITIONS * times);
    asks.stop();
    await provision(world.bus, { shards: 1, pools: [] });
    await tell("k", "add", { name: "after" });
    await seenWhen("k", 2);
  } finally {
    await world.stop();
  }
});
