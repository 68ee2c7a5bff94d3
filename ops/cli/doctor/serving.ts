/** What `doctor` finds out of a deployment that runs: who serves its pools, and how well it goes. */
import { createLoadAdmin } from "#actors/governor/admin.ts";
import { watchHealth } from "#actors/inference/health.ts";
import type { Config } from "#contracts/config.ts";
import { loadConfig } from "#ops/config.ts";
import { systemClock } from "#runtime/clock.ts";
import { serverAheadMs } from "#runtime/nats/topology-check.ts";
import { onDeployment, withPresence } from "../direct.ts";
import { type Check, fail, ok, warn } from "./finding.ts";

/** A process that is busy is heard late; a clock that is wrong is so by more. */
const CLOCK_MS = 5_000;

/** A turn whose pool nobody serves waits for its whole deadline, and ends in an apology. */
export const checkWorkers: Check = async ({ settings, natsUrl }) => {
  const { config } = await loadConfig(settings, { callsModels: false, asks: "nothing" });
  const heard = await withPresence(natsUrl, async (_, presence) => presence.live()).catch(() => undefined);
  if (!heard) return ok("not looked at, as NATS does not answer");
  if (heard.length === 0) return ok("nothing runs");
  if (!heard.some(({ role, draining }) => role === "conversation" && !draining))
    return fail(
      "no process holds conversations: messages are stored, and nobody answers",
      "jetclaw run conversation",
    );
  const workers = heard.filter(({ role, draining }) => role === "worker" && !draining);
  const served = new Set(workers.flatMap(({ info }) => String(info.pools).split(",")));
  const alone = poolsAskedFor(config).filter((pool) => !served.has(pool));
  if (alone.length === 0) return ok(`${workers.length}, for ${[...served].join(", ")}`);
  return warn(
    `nobody serves ${alone.join(", ")}: turns that are sent there end in an apology`,
    `jetclaw run worker --pool ${alone.join(" ")}`,
  );
};

/** Pools that turns are sent to. One that is a fallback alone needs no worker: its models are asked by the others'. */
function poolsAskedFor({ assistants, pools, routing }: Config): string[] {
  const models = Object.values(assistants).map(({ model }) => model);
  const named = new Set([
    ...models,
    ...(routing?.rules ?? []).map(({ pool }) => pool),
    ...Object.values(pools).map(({ degradeTo }) => degradeTo),
  ]);
  return Object.entries(pools)
    .filter(
      ([pool, each], n) => n === 0 || named.has(pool) || each.models.some(({ name }) => named.has(name)),
    )
    .map(([pool]) => pool);
}

/** Deadlines are times of day: a worker whose clock is ahead finds every job too late. */
export const checkClocks: Check = async ({ natsUrl }) => {
  const clocks = await withPresence(natsUrl, async (bus, presence) => [
    { where: "the NATS server", aheadMs: (await serverAheadMs(bus)) ?? 0 },
    ...presence.clocks(),
  ]).catch(() => undefined);
  if (!clocks) return ok("not looked at, as no deployment answers");
  const wrong = clocks.filter(({ aheadMs }) => Math.abs(aheadMs) > CLOCK_MS);
  if (wrong.length === 0) return ok("agree");
  const by = new Map(
    wrong.map(({ where, aheadMs }) => [
      where,
      `${where} is ${Math.round(Math.abs(aheadMs) / 1_000)} s ${aheadMs > 0 ? "ahead of" : "behind"} this machine`,
    ]),
  );
  return fail([...by.values()].join("; "), "Set the clocks by NTP: deadlines and timers are times of day.");
};

/** A model can be listed by its server and fail all the same: those who ask it know. */
export const checkLoad: Check = async ({ settings, natsUrl }) => {
  const { config } = await loadConfig(settings, { callsModels: false, asks: "nothing" });
  const heard = await onDeployment(natsUrl, async (bus) => {
    const health = await watchHealth(bus);
    const failing = Object.entries(config.pools).flatMap(([pool, { models }]) => {
      const isOpen = (model?: string): boolean => health.of(pool, model)?.breaker === "open";
      if (isOpen()) return [`every model of ${pool}`];
      return models.filter(({ name }) => isOpen(name)).map(({ name }) => `${name} of ${pool}`);
    });
    health.stop();
    return { failing, ...(await createLoadAdmin(bus, systemClock).status()) };
  }).catch(() => undefined);
  if (!heard) return ok("not looked at, as no deployment answers");
  const { failing, level, reason } = heard;
  const found = `level ${level}${level > 0 ? ` (${reason})` : ""}`;
  if (failing.length > 0)
    return warn(
      `${failing.join(", ")} fails, ${found}`,
      'Why is in the log of its workers ("model failed"). They try again by themselves.',
    );
  return level === 0
    ? ok(found)
    : warn(found, "More workers, or wait: jetclaw level --history tells what it was.");
};
