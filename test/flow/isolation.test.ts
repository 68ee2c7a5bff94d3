// A client whose server is cut off from the others of its cluster, on three real servers behind lines.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Bus, connectBus } from "#runtime/nats/connect.ts";
import { createLog } from "#runtime/observe/log.ts";
import { type NatsNode, NatsNodes } from "#test/harness/nats-nodes.ts";
import { waitUntil } from "#test/harness/wait.ts";

const log = createLog({ level: "silent" });
let dir: string;
let nats: NatsNodes;
const buses: Bus[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "jetclaw-isolation-"));
  nats = await NatsNodes.start({ dir, size: 3, syncInterval: "1s", seed: 1, lines: true, netns: false });
});
afterAll(async () => {
  await Promise.all(buses.map((bus) => bus.close()));
  await nats?.close();
  await rm(dir, { recursive: true, force: true });
});

test("who only waits for messages leaves it, and is not moved where one server of three is gone", async () => {
  const idle = await client("idle");
  const stays = await client("stays");
  stays.staysIsolated = true;
  let moved = 0;
  idle.onReconnect(() => void moved++);
  const node = await nodeOf("idle");
  await movedTo(stays, node);

  await nats.isolate(node);
  await waitUntil(async () => !(await nats.clientsOn(node)).includes("idle"), {
    what: "the idle client to leave",
  });
  expect(await nats.clientsOn(node)).toEqual(["stays"]);

  // Two of three answer: whoever is with them stays, also when the third is gone for good.
  const home = await nodeOf("idle");
  await node.kill();
  const before = moved;
  await idle.suspectIsolation();
  expect(moved).toBe(before);
  expect(await nats.clientsOn(home)).toContain("idle");
});

async function client(name: string): Promise<Bus> {
  const bus = await connectBus({ servers: nats.url.split(","), name, log });
  buses.push(bus);
  bus.subscribe("something", () => {});
  await bus.flush();
  return bus;
}

function nodeOf(name: string): Promise<NatsNode> {
  return waitUntil(
    async () => {
      for (const node of nats.nodes)
        if (node.running && (await nats.clientsOn(node)).includes(name)) return node;
      return undefined;
    },
    { what: `the server of ${name}` },
  );
}

/** Moves a client until it is where it is wanted. */
async function movedTo(bus: Bus, node: NatsNode): Promise<void> {
  await waitUntil(
    async () => {
      if ((await nats.clientsOn(node)).includes("stays")) return true;
      const back = Promise.withResolvers<void>();
      const listening = bus.onReconnect(back.resolve);
      await bus.nc.reconnect();
      await back.promise;
      listening.stop();
      return false;
    },
    { what: "the other client to be there too" },
  );
}
