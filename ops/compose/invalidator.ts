/** Role `invalidator`: frees cached answers as soon as a document they rest on changes. */
import { startInvalidator } from "#actors/cache/invalidator.ts";
import type { RoleContext, RunningRole } from "./context.ts";

/** @throws JetclawError `nats.unavailable` */
export async function startInvalidatorRole(ctx: RoleContext): Promise<RunningRole> {
  const invalidator = await startInvalidator(ctx.bus, { log: ctx.log });
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopping ??= invalidator.stop();
    return stopping;
  };
  return {
    role: "invalidator",
    readiness: () => (stopping ? "draining" : undefined),
    drain: stop,
    stop,
  };
}
