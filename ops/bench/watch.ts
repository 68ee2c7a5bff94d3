/** What both sides are watched with: the publishes on their subjects and the CPU time of their processes. */
import { decode } from "#contracts/codec.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { type Child, cpuMsOfProcess } from "./children.ts";
import type { CpuTimes, Traffic } from "./side.ts";

/**
 * Counts what is published on the filters while `during` runs. A result travels on the subject of messages, so the
 * body tells the two apart.
 */
export async function watchTraffic(
  bus: Bus,
  filters: readonly (readonly [what: string, filter: string])[],
  during: () => Promise<void>,
): Promise<Traffic> {
  const publishes: Record<string, { count: number; bytes: number }> = {};
  const subscriptions = filters.map(([name, filter]) =>
    bus.subscribe(filter, ({ data }) => {
      const what = name === "message" && isResult(data) ? "result" : name;
      const { count, bytes } = publishes[what] ?? { count: 0, bytes: 0 };
      publishes[what] = { count: count + 1, bytes: bytes + data.length };
    }),
  );
  await bus.flush();
  await during();
  await bus.flush();
  for (const subscription of subscriptions) subscription.stop();
  return { turns: publishes.turn?.count ?? 0, publishes };
}

function isResult(data: Uint8Array): boolean {
  const { kind, type } = decode<{ kind?: string; type?: string }>(data);
  return type === "result" || kind === "result";
}

export async function cpuOf(
  hosts: readonly Child[],
  workers: readonly Child[],
  serverPid: number,
): Promise<CpuTimes> {
  const sum = async (children: readonly Child[]): Promise<number> =>
    (await Promise.all(children.map((child) => child.usage()))).reduce(
      (total, { cpuMs }) => total + cpuMs,
      0,
    );
  const { user, system } = process.cpuUsage();
  const [hostMs, workerMs] = await Promise.all([sum(hosts), sum(workers)]);
  return {
    client: (user + system) / 1_000,
    hosts: hostMs,
    workers: workerMs,
    natsServer: cpuMsOfProcess(serverPid) ?? 0,
  };
}
