// Mails, which nobody waits for, from the message to the closed turn by the provider's batch API: answered, stopped, erased,
// and closed by the reaper where no worker is left to bring the answer.
import { afterAll, beforeAll, expect, test } from "vitest";
import { decode } from "#contracts/codec.ts";
import { type Config, configSchema } from "#contracts/config.ts";
import { inferOfflineFilter, inferStream, turnSessionFilter } from "#contracts/subjects.ts";
import { CONVERSATION, type TurnRecord } from "#contracts/turn.ts";
import type { RunningRole } from "#ops/compose/context.ts";
import { type Simulator, startSimulator } from "#ops/simulator/server.ts";
import { sendToActor } from "#runtime/nats/inbound.ts";
import { messagesFrom } from "#runtime/nats/reader.ts";
import { ConversationWorld } from "#test/harness/conversation-world.ts";
import { waitUntil } from "#test/harness/wait.ts";

let world: ConversationWorld;
let simulator: Simulator;
let config: Config;
let worker: RunningRole;
let host: RunningRole;

beforeAll(async () => {
  simulator = await startSimulator();
  config = configSchema.parse({
    deferredDeadlineMs: 600_000,
    pools: {
      default: {
        models: [
          {
            name: "simulated",
            baseUrl: simulator.baseUrl,
            price: { inputPerMTok: 0, outputPerMTok: 1_000_000 },
            batch: { mode: "offline", maxWaitMs: 200, leastMs: 1_000 },
          },
        ],
      },
    },
  });
  world = await ConversationWorld.start(2);
  const { pools, deferredDeadlineMs } = config;
  host = await world.host({ pools, deferredDeadlineMs });
  worker = await world.worker({}, { pools });
});
afterAll(async () => {
  await world?.stop();
  await simulator?.close();
});

/** A mail that came eleven minutes ago: nobody waits for a second one any more. */
const mail = (session: string): Promise<unknown> =>
  sendToActor(world.bus, {
    ...{ id: `${session}-1`, tenant: "demo", kind: CONVERSATION, key: session, type: "user" },
    at: Date.now() - 660_000,
    body: { parts: [{ type: "text", text: `Dear all, this is ${session}.` }], channel: "email" },
  });
const until = (what: string, condition: () => unknown): Promise<unknown> => waitUntil(condition, { what });
const parked = () => messagesFrom(world.bus, inferStream("default"), inferOfflineFilter("default"), 1, 10);

test("a mail is answered by a batch, and its turn says what that cost", async () => {
  await mail("anna");
  const [turn] = await world.closed("anna", 1);
  expect(turn).toMatchObject({ outcome: "answered", model: "simulated" });
  expect(turn?.reply).toContain("this is anna");
  const records = await Promise.all(
    [0, 1].map((s) => messagesFrom(world.bus, `TURNS-${s}`, turnSessionFilter(s, "demo", "anna"), 1, 10)),
  );
  const record = decode<TurnRecord>((records.flat()[0] as { data: Uint8Array }).data);
  expect(record.costUsd).toBeCloseTo(record.usage.outputTokens / 2);
  await until("nothing to be parked", async () => (await parked()).length === 0);
});

test.each(["stopped", "erased"])(
  "a mail that is %s: its batch is cancelled, nothing of it is left",
  async (how) => {
    simulator.set({ batchMs: 600_000 });
    const known = simulator.batches().length;
    await mail(how);
    await until("the batch", () => simulator.batches().length > known);
    if (how === "stopped") {
      await world.client.stop("demo", how);
      expect(await world.closed(how, 1)).toMatchObject([{ outcome: "stopped" }]);
    } else await world.client.erase("demo", how);
    await until("the batch to be cancelled", () => simulator.batches()[known]?.status === "cancelled");
    await until("nothing to be parked", async () => (await parked()).length === 0);
  },
);

test("a mail whose workers are all gone is apologised for at its deadline", async () => {
  await world.end(host);
  host = await world.host({ pools: config.pools, deferredDeadlineMs: 12_000 });
  await mail("late");
  await until("the job to be parked", async () => (await parked()).length === 1);
  await world.end(worker);
  expect(await world.closed("late", 1)).toMatchObject([{ outcome: "failed" }]);
  await until("nothing to be parked", async () => (await parked()).length === 0);
});
