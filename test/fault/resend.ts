// Old messages under their old ids, as a web hook repeats them that never heard an answer.
import { CONVERSATION, type UserMessage } from "#contracts/turn.ts";
import { sendToActor } from "#runtime/nats/inbound.ts";
import { waitUntil } from "#test/harness/wait.ts";
import type { FaultRun } from "./run.ts";

const STORED_MS = 60_000;

/** Sends the oldest acknowledged messages again. @returns how many */
export async function resend(run: FaultRun, most: number): Promise<number> {
  const acked = new Set(
    run.recorder.events.flatMap((e) => (e.type === "ok" ? [`${e.tenant}/${e.session}/${e.message}`] : [])),
  );
  const old = run.recorder.events
    .filter((e) => e.type === "invoke")
    .filter((e) => acked.has(`${e.tenant}/${e.session}/${e.message}`))
    .slice(0, most);
  for (const { tenant, session, message, text } of old) {
    const body: UserMessage = { parts: [{ type: "text", text }], channel: "web" };
    const at = Date.now();
    const again = { id: message, tenant, kind: CONVERSATION, key: session, type: "user", body, at };
    await waitUntil(() => sendToActor(run.cluster.bus, again).catch(() => undefined), {
      timeoutMs: STORED_MS,
      what: "NATS to store what is sent again",
    });
  }
  return old.length;
}
