// Fault 20: NATS restarts under a thousand clients, who all come again at once.
import { reservePort } from "#runtime/nats/server/probe.ts";
import { Crowd } from "#test/harness/crowd.ts";
import { pause, waitUntil } from "#test/harness/wait.ts";
import { type Row, type RowResult, underLoad } from "../row.ts";
import type { FaultRun } from "../run.ts";

const PAGES = 800;
const PROGRAMS = 200;
const MINUTE_MS = 60_000;
/** Longer than the server keeps the consumer of a follower that is gone. */
const RESTING_MS = 20_000;
const LOOK_MS = 500;
const PROBE_MS = 5_000;
/** Consumers made for one that the restart took: a follower may begin anew once more than it must. */
const MADE_MOST = 3;
/** Refused requests a client, such as questions for consumers that are gone: in a storm it is dozens. */
const REFUSED_MOST = 1;

type Counts = Readonly<Record<string, number>>;

/** Consumers of each stream. */
async function consumersOf({ cluster }: FaultRun): Promise<Counts> {
  const counts: Record<string, number> = {};
  for await (const { config, state } of cluster.bus.jsm.streams.list())
    counts[config.name] = state.consumer_count;
  return counts;
}

const sum = (counts: Counts): number => Object.values(counts).reduce((all, count) => all + count, 0);

function differences(before: Counts, after: Counts): string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((stream) => {
    const [was = 0, is = 0] = [before[stream], after[stream]];
    return was === is ? [] : [`${stream} had ${was} consumers and has ${is}`];
  });
}

/** What it is when it has not changed for a while. */
async function restingConsumers(run: FaultRun): Promise<Counts> {
  let [last, since] = [await consumersOf(run), Date.now()];
  return waitUntil(
    async () => {
      const now = await consumersOf(run);
      if (differences(last, now).length > 0) [last, since] = [now, Date.now()];
      return Date.now() - since > RESTING_MS && now;
    },
    { timeoutMs: 2 * MINUTE_MS, what: "the numbers of consumers to rest", pollMs: LOOK_MS },
  );
}

/** Requests to JetStream's API since the server started, and those that it refused. */
async function apiOf({ cluster }: FaultRun): Promise<{ total: number; errors: number } | undefined> {
  const url = `http://127.0.0.1:${cluster.nats.nodes[0]?.ports.monitor}/jsz`;
  const answer = await fetch(url, { signal: AbortSignal.timeout(PROBE_MS) }).catch(() => undefined);
  if (!answer?.ok) return undefined;
  const { api } = (await answer.json()) as { api: { total: number; errors?: number } };
  return { total: api.total, errors: api.errors ?? 0 };
}

/** Looks on for a minute after the restart. */
async function watch(run: FaultRun, before: Counts) {
  let made = 0;
  const created = run.cluster.bus.subscribe("$JS.EVENT.ADVISORY.CONSUMER.CREATED.>", () => void made++);
  const from = Date.now();
  let [equalSince, busiest, wrong]: [number | undefined, number, string[]] = [undefined, 0, []];
  let [api, askedAt] = [{ total: 0, errors: 0 }, from];
  while (Date.now() - from < MINUTE_MS) {
    const after = await consumersOf(run).catch(() => undefined);
    wrong = after ? differences(before, after) : ["the streams do not answer"];
    if (wrong.length > 0) equalSince = undefined;
    else equalSince ??= Date.now();
    const now = await apiOf(run);
    if (now) {
      busiest = Math.max(busiest, (now.total - api.total) / ((Date.now() - askedAt) / 1_000));
      [api, askedAt] = [now, Date.now()];
    }
    await pause(LOOK_MS);
  }
  created.stop();
  const settledMs = equalSince === undefined ? Number.POSITIVE_INFINITY : equalSince - from;
  return { settledMs, made, api, busiest, wrong };
}

async function storm(run: FaultRun, control: boolean): Promise<RowResult["figures"]> {
  const { cluster, recorder } = run;
  const port = (await reservePort("127.0.0.1", 0)) as number;
  await cluster.start("gateway", { port });
  const crowd = new Crowd({
    gatewayUrl: `http://127.0.0.1:${port}`,
    natsUrl: cluster.nats.url,
    recorder,
    pages: PAGES,
    programs: PROGRAMS,
  });
  try {
    await crowd.open();
    await crowd.speak();
    const before = await restingConsumers(run);
    run.say(`${PAGES + PROGRAMS} clients, ${sum(before)} consumers, ${run.progress}`);
    if (control) leaveBehind(run);
    await run.note("NATS restarted");
    const from = Date.now();
    await cluster.nats.kill();
    await cluster.nats.restart();
    const [{ settledMs, made, api, busiest, wrong }, servingMs] = await Promise.all([
      watch(run, before),
      crowd.speak().then(() => Date.now() - from),
    ]);
    for (const each of wrong) run.say(each);
    return {
      consumers: sum(before),
      settledMs,
      consumersMade: made,
      madeForEach: made / sum(before),
      apiRequests: api.total,
      apiBusiestSecond: Math.round(busiest),
      refusedForEach: api.errors / (PAGES + PROGRAMS),
      servingMs,
      streamsDropped: crowd.dropped,
    };
  } finally {
    await crowd.close();
  }
}

/** A client as the library's own ordered consumers were: each reconnect leaves a consumer for five minutes. */
function leaveBehind({ cluster }: FaultRun): void {
  cluster.bus.onReconnect(() => {
    void cluster.bus.jsm.consumers
      .add("KV_config", { name: `left-${crypto.randomUUID()}`, inactive_threshold: 300_000 * 1e6 })
      .catch(() => {});
  });
}

const reconnectStorm: Row = {
  fault: 20,
  name: "reconnect storm: NATS restarts under 1,000 clients",
  target: "consumers of every stream as before <= 60 s, no storm of creates, all served again",
  control: "one client leaves a consumer behind at each reconnect",
  run: (options) =>
    underLoad(
      options,
      { hosts: 2, workers: 1, perSecond: 10, sessions: 20, effects: ["record"], build: "old" },
      {
        settledMs: MINUTE_MS,
        madeForEach: MADE_MOST,
        refusedForEach: REFUSED_MOST,
        servingMs: MINUTE_MS,
      },
      (run) => storm(run, options.control),
    ),
};

export const clientRows: readonly Row[] = [reconnectStorm];
