// What a host that stood still goes on with when others have taken over: nothing that undoes their work.
import { afterEach, expect, test } from "vitest";
import { PlacementStore } from "#runtime/placement/document.ts";
import { Cluster } from "#test/harness/cluster.ts";
import type { Member } from "#test/harness/member-process.ts";
import { TallyLoad, wrongTimers } from "#test/harness/tally-load.ts";
import { waitUntil } from "#test/harness/wait.ts";

let cluster: Cluster;
afterEach(() => cluster?.close());

test("a timer set by the next owner outlives the cancelling that a frozen host had still to do", async () => {
  cluster = await Cluster.start({ hosts: 2, workers: 0, build: "old" });
  const load = new TallyLoad(cluster, { keys: 1 });
  const [key] = load.keys as [string];
  const written = (entry: string): Promise<unknown> =>
    waitUntil(async () => (await load.read(key)).includes(entry), { what: entry });
  await load.later(key, 600_000);
  await written("set t1");
  const hosts = cluster.members("conversation");
  for (const host of hosts) host.arm({ point: "host.afterCommit", nth: 1, action: "freeze" });
  await load.never(key);
  const frozen = await waitUntil(() => hosts.find(({ hit }) => hit), {
    what: "its host to have committed the cancelling",
  });
  const other = hosts.find((host) => host !== frozen) as Member;
  other.disarm();
  await frozen.stoodStill();
  const placement = new PlacementStore(cluster.bus);
  await waitUntil(
    async () => (await placement.read()).partitions.every(({ owner }) => owner === other.instance),
    { what: "the other host to own everything" },
  );
  await load.later(key, 5_000);
  await written("set t3");
  frozen.thaw();
  await written("t3");
  expect(wrongTimers(key, await load.read(key))).toEqual([]);
});
