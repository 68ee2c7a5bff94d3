/** Role `invalidator`: frees cached answers as soon as a document they rest on changes. */
import { startInvalidator } from "#actors/cache/invalidator.ts";
import { announce } from "#runtime/observe/presence.ts";
import type { RoleContext, RunningRole } from "./context.ts";

/** @throws JetclawError `nats.unavailable` */
export async function startInvalidatorRole(ctx: RoleContext): Promise<RunningRole> {
  const { bus, log, instance } = ctx;
  const invalidator = await startInvalidator(bus, { log });
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopping ??= invalidator.stop();
    return stopping;
  };
  const presence = announce(
    bus,
    { role: "invalidator", instance },
    () => ({}),
    () => stopping !== undefined,
  );
  return {
    role: "invalidator",
    readiness: () => (stopping ? "draining" : undefined),
    drain: stop,
    async stop() {
      await stop();
      presence.stop();
    },
  };
}
