/** Load shedding at the door: at level 3 a conversation that has not begun is refused before anything is stored. */
import { JetclawError } from "#contracts/errors.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import type { GatewayParts } from "./parts.ts";

/** A level falls after three seconds of calm at the earliest; who comes back sooner only asks again. */
const RETRY_AFTER_SECONDS = 10;

/**
 * Asks for the conversation only at level 3. One that has begun is never refused, nor one whose first message this
 * gateway has just accepted.
 * @throws JetclawError `load.refused`, `nats.unavailable`
 */
export async function refuseForLoad(
  { deps, hub }: Pick<GatewayParts, "deps" | "hub">,
  tenant: string,
  session: string,
): Promise<void> {
  if ((deps.level?.level() ?? 0) < 3 || hub.awaits(tenant, session)) return;
  if (await deps.conversations.exists(tenant, session)) return;
  metrics.refusals({ reason: "load.refused" });
  throw new JetclawError("load.refused", undefined, { retryAfterSeconds: RETRY_AFTER_SECONDS });
}
