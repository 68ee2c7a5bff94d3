// A client whose server is cut off from the others of its cluster, on three real servers behind lines;
// and one whose cluster has become smaller.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { afterEach, beforeEach, expect, test } from "vitest";
import { BUCKETS, bucketStream, bucketSubject } from "#contracts/subjects.ts";
import { type Bus, connectBus } from "#runtime/nats/connect.ts";
import { Majority } from "#runtime/nats/majority.ts";
import { createLog } from "#runtime/observe/log.ts";
import { type NatsNode, NatsNodes } from "#test/harness/nats-nodes.ts";
import { waitUntil } from "#test/harness/wait.ts";

const CONFIG = bucketStream(BUCKETS.config);
/** Of the server, where a peer is to be taken out that it does not know any more. */
const NOT_A_MEMBER = 10_044;
const log = createLog({ level: "silent" });
const cleanups: (() => Promise<unknown>)[] = [];
let nats: NatsNodes;

beforeEach(async () => {
  const dir = await mkdtemp(join(tmpdir(), "jetclaw-isolation-"));
  cleanups.push(() => rm(dir, { recursive: true, force: true }));
  const options = { dir, size: 3, seed: 1, syncInterval: "1s", lines: true, netns: false } as const;
  nats = await NatsNodes.start({ ...options, operator: true });
  cleanups.push(() => nats.close());
  const bus = await client("provision");
  // Where a cluster shows that it still decides.
  await addBucket(bus);
});
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
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
  // Whoever provisioned may have been on that server as well: it leaves it like the idle one, not in the same moment.
  await waitUntil(async () => `${await nats.clientsOn(node)}` === "stays", {
    what: "all but the one that stays to leave",
  });

  // Two of three answer: whoever is with them stays, also when the third is gone for good.
  const home = await nodeOf("idle");
  await node.kill();
  const before = moved;
  await idle.suspectIsolation();
  expect(moved).toBe(before);
  expect(await nats.clientsOn(home)).toContain("idle");
});

test("servers that were taken out of the cluster are missed by nobody", async () => {
  const bus = await client("stays");
  const home = await bucketOnLeader(bus);
  const alone = await client("alone", home);
  const majority = new Majority(alone.nc, alone.inbox());
  await waitUntil(() => majority.isHeard(), { what: "more than one server to be known" });
  const operator = await operatorAt(home);
  for (const gone of nats.nodes.filter((node) => node !== home)) {
    const { server_name: peer } = (await gone.monitor("varz")) as { server_name: string };
    const removed = (): Promise<boolean> =>
      operator.request("$JS.API.SERVER.REMOVE", JSON.stringify({ peer }), { timeout: 2_000 }).then(
        (answer) => {
          const { success, error } = answer.json<{ success?: boolean; error?: { err_code: number } }>();
          return success === true || error?.err_code === NOT_A_MEMBER;
        },
        () => false,
      );
    await waitUntil(removed, { what: `${peer} to be taken out` });
    await gone.stop();
  }
  for (let n = 0; n < 4; n++)
    await waitUntil(() => majority.isHeard(), { what: "the one that is left to decide alone" });
  expect(await nats.clientsOn(home)).toContain("alone");
});

async function client(name: string, at?: NatsNode): Promise<Bus> {
  const bus = await connectBus({ servers: at ? addressOf(at) : nats.url.split(","), name, log });
  cleanups.push(() => bus.close());
  bus.subscribe("something", () => {});
  await bus.flush();
  return bus;
}

/** Who leads the cluster can take the others out, and is left with what it stores. @returns where that is */
async function bucketOnLeader(bus: Bus): Promise<NatsNode> {
  const operator = await operatorAt(nats.node("n1"));
  return await waitUntil(
    async () => {
      const about = (await nats.node("n1").monitor("jsz")) as
        | { meta_cluster?: { leader?: string } }
        | undefined;
      const { cluster } = await bus.jsm.streams.info(CONFIG);
      if (about && cluster?.leader === about.meta_cluster?.leader) return await nats.leaderOf(bus, CONFIG);
      const wish = JSON.stringify({ placement: { preferred: cluster?.leader } });
      // Refused while there is no leader; then the next look asks again.
      await operator.request("$JS.API.META.LEADER.STEPDOWN", wish, { timeout: 2_000 }).catch(() => {});
      return undefined;
    },
    { what: "the server with the bucket to lead", pollMs: 500 },
  );
}

async function operatorAt(node: NatsNode): Promise<NatsConnection> {
  const operator = await connect({ servers: addressOf(node), user: "operator", pass: "operator" });
  cleanups.push(() => operator.close());
  return operator;
}

async function addBucket({ jsm }: Bus): Promise<void> {
  const bucket = { name: CONFIG, subjects: [bucketSubject(BUCKETS.config, ">")] };
  const added = (): Promise<boolean> =>
    jsm.streams.add(bucket).then(
      () => true,
      // A cluster that has just begun may take its time.
      () => false,
    );
  await waitUntil(added, { what: "the bucket to be made" });
}

const addressOf = ({ address, ports }: NatsNode): string => `nats://${address}:${ports.line}`;

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
