// The promise as a user would put it: pull the plug in the middle of answers, start again, and nothing that was
// acknowledged is lost or answered twice, and every conversation reads whole.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { ConversationClient } from "#actors/conversation/client.ts";
import { systemClock } from "#runtime/clock.ts";
import { checkHistory } from "#test/harness/checker.ts";
import { Cluster } from "#test/harness/cluster.ts";
import { closedTurnsOf } from "#test/harness/conversation-state.ts";
import { type Delivered, nameOf } from "#test/harness/history.ts";
import { Load } from "#test/harness/load.ts";
import { observe } from "#test/harness/observer.ts";
import { randomOf } from "#test/harness/random.ts";
import { Recorder } from "#test/harness/recorder.ts";
import { waitUntil } from "#test/harness/wait.ts";

const TENANTS = 3;
const SESSIONS = 30;
let cluster: Cluster | undefined;
let dir: string | undefined;

afterAll(async () => {
  await cluster?.close();
  if (dir) await rm(dir, { recursive: true, force: true });
});

async function start(recorder: Recorder): Promise<Cluster> {
  const started = await Cluster.start({ dir: dir as string, hosts: 2, workers: 1 });
  // What passes by while the server is dead is seen by nobody: only what a stream keeps can be demanded.
  await observe({
    bus: started.bus,
    deployment: started.deployment,
    recorder,
    closedOf: closedTurnsOf,
    effects: ["record"],
  });
  return started;
}

test("everything is killed in mid-turn, twice, and started again on the same data", async () => {
  dir = await mkdtemp(join(tmpdir(), "jetclaw-everything-"));
  const recorder = new Recorder();
  cluster = await start(recorder);
  const bus = () => (cluster as Cluster).bus;
  const load = new Load({
    bus,
    recorder,
    random: randomOf(7),
    tenants: TENANTS,
    sessions: SESSIONS,
    perSecond: 30,
  });
  load.start();
  for (let round = 1; round <= 2; round++) {
    const before = recorder.answered;
    await waitUntil(() => recorder.answered > before + 60 && recorder.unanswered > 0, {
      what: "answers on their way",
    });
    await cluster.killEverything();
    await cluster.close();
    cluster = await start(recorder);
  }
  const before = recorder.answered;
  await waitUntil(() => recorder.answered > before + 60, {
    what: "answers after the last start",
  });
  await load.stop();
  const queues = await cluster.drained(180_000);
  await waitUntil(() => recorder.unanswered === 0, { what: "the last answers" });
  recorder.add({ type: "settled", queues, at: Date.now() });
  expect(checkHistory(recorder.events).violations).toEqual([]);
  await expectWholeTranscripts(cluster, recorder);
});

/** A conversation as its reader gets it: every acknowledged message once, with an answer, in the order of the turns. */
async function expectWholeTranscripts({ bus, deployment }: Cluster, recorder: Recorder): Promise<void> {
  const conversations = new ConversationClient(bus, deployment, systemClock);
  const records = recorder.events.filter((event): event is Delivered => event.type === "record");
  for (const { tenant, session } of new Map(records.map((r) => [nameOf(r), r])).values()) {
    const transcript = await conversations.transcript(tenant, session);
    const acknowledged = recorder.events.flatMap((e) =>
      e.type === "ok" && e.tenant === tenant && e.session === session ? [e.message] : [],
    );
    const told = transcript?.turns.flatMap((turn) => turn.messages.map((m) => m.id)) ?? [];
    expect(told.toSorted()).toEqual([...new Set(acknowledged)].toSorted());
    expect(transcript?.status).toBe("idle");
    expect(transcript?.turns.map((turn) => turn.turn)).toEqual(
      transcript?.turns.map((_, index) => index + 1),
    );
    expect(transcript?.turns.every((turn) => typeof turn.reply === "string" && turn.reply.length > 0)).toBe(
      true,
    );
  }
}
