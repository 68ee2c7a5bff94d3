/** Jobs among the dead letters: one goes back to its queue only while its turn still waits for it. */
import { decodeUntrusted } from "#contracts/codec.ts";
import { JetclawError } from "#contracts/errors.ts";
import { type Job, jobSchema } from "#contracts/job.ts";
import { LIMITS } from "#contracts/limits.ts";
import { routeOf } from "#contracts/subjects.ts";
import { CONVERSATION } from "#contracts/turn.ts";
import { readActorState } from "#runtime/actor/client.ts";
import type { DeadBytes } from "#runtime/actor/dead-letter.ts";
import type { RedriveResult } from "#runtime/actor/dead-letters.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import type { Deployment } from "#runtime/nats/topology.ts";
import { upgradeState } from "./stored.ts";
import { type ConversationState, isAwaited } from "./turn.ts";

/** @throws JetclawError `dead.unreadable` for bytes that are no job, `nats.unavailable` */
export async function redriveJob(
  bus: Bus,
  deployment: Deployment,
  { subject, bytes }: DeadBytes,
): Promise<RedriveResult> {
  const job = jobOf(subject, bytes);
  const route = routeOf({ kind: CONVERSATION, tenant: job.tenant, key: job.session });
  const state = await readActorState<ConversationState>(bus, deployment, route, upgradeState);
  // Whoever asked without a conversation has gone, and a closed turn would only pay for what it drops.
  if (job.replyTo || !state || !isAwaited(state, { job: job.id, step: job.step })) return "settled";
  await bus.append(subject, bytes);
  return "redriven";
}

function jobOf(subject: string, bytes: Uint8Array): Job {
  try {
    const parsed = jobSchema.safeParse(decodeUntrusted(bytes, LIMITS.payloadBytes));
    if (parsed.success && subject.startsWith("infer.")) return parsed.data;
  } catch {
    // No msgpack at all.
  }
  throw new JetclawError("dead.unreadable");
}
