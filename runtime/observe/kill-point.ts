/**
 * Named steps of the code path at which a fault test can make this process die, freeze or wait. In production no hook
 * is installed and a step costs one comparison: `const p = killPoint("host.afterCommit"); if (p) await p;`.
 */
export const KILL_POINTS = [
  /** The actor's state is in memory, its stored outbox is not yet published. */
  "host.afterLoad",
  /** The handler returned, nothing is written. */
  "host.afterHandler",
  /** State and outbox are stored, no effect is published. */
  "host.afterCommit",
  /** Between two effects of one outbox. */
  "host.midOutbox",
  /** Every effect is acknowledged, the message is not acked. */
  "host.afterPublish",
  "host.beforeAck",
  "host.afterAck",
  /** The placement document names this host, the partition's consumers are being replaced. */
  "host.midTakeover",
  /** A job is taken, the model was not called. */
  "worker.afterTake",
  /** Some of the answer was streamed. */
  "worker.midStream",
  /** The answer is whole, its result is not sent. */
  "worker.beforeResult",
  /** The result is stored, the job is not acked. */
  "worker.afterResult",
] as const;
export type KillPoint = (typeof KILL_POINTS)[number];

/** Decides what happens at a step: undefined lets it pass at once, a promise holds it until resolved. */
export type KillPointHook = (name: KillPoint) => Promise<void> | undefined;

let installed: KillPointHook | undefined;

/** Called by the test harness before any role starts; never by the product. */
export function installKillPoints(hook: KillPointHook | undefined): void {
  installed = hook;
}

export function killPoint(name: KillPoint): Promise<void> | undefined {
  return installed === undefined ? undefined : installed(name);
}
