/**
 * `jetclaw bench traffic`: recorded traffic played again, faster. Arrivals and lengths are the trace's, conversations are
 * ours; the simulated model is faster by the same factor, so as many answers run at once as in the recording.
 */
import { LIMITS } from "#contracts/limits.ts";
import { systemClock } from "#runtime/clock.ts";
import { WorkQueue } from "#runtime/nats/work-queue.ts";
import { followLoad } from "../compose/load.ts";
import { type Deployed, onDeployment } from "./deployed.ts";
import { OpenLoop } from "./open-loop.ts";
import { type BenchResult, randomFrom, textOf } from "./shape.ts";
import { paced, Threads, TOKEN_CHARS, type TracedRequest } from "./trace.ts";
import {
  type Depth,
  MODEL,
  type TrafficMeasured,
  type TrafficOptions,
  trafficResult,
} from "./traffic-figures.ts";

/** Between two writes of a stream, at any speed: about what a worker sends on. */
const PACE_MS = 50;
const SAMPLE_MS = 250;
const SETTLE_LIMIT_MS = 120_000;
const TENANTS = 20;

export function benchTraffic(options: TrafficOptions): Promise<BenchResult> {
  const { hosts, workers, slots, speed } = options;
  return onDeployment(
    options,
    "traffic",
    {
      hosts,
      workers,
      slots,
      governors: 1,
      simulators: [
        {
          lengths: true,
          ttftMs: MODEL.ttftMs / speed,
          prefillMsPer1kTokens: MODEL.prefillMsPer1kTokens / speed,
          tokensPerSecond: MODEL.tokensPerSecond * speed,
          paceMs: PACE_MS,
        },
      ],
      config: ([url = ""]) => ({
        assistants: { bench: { instructions: "", knowledge: [] } },
        pools: { default: { models: [{ name: "simulated", baseUrl: url, concurrency: slots }] } },
        responseCache: false,
      }),
    },
    async (deployed, fsync) => trafficResult(options, fsync, await run(options, deployed)),
  );
}

async function run(options: TrafficOptions, deployed: Deployed): Promise<TrafficMeasured> {
  const { seconds, speed, from: skipped, say, trace, seed } = options;
  const { bus } = deployed;
  const requests = paced(trace, speed, seconds, skipped);
  const random = randomFrom(seed);
  const threads = new Threads(random);
  const loop = await OpenLoop.open(bus, (asked) => threads.answered(asked.session));
  const load = followLoad({ bus, clock: systemClock });
  const queue = await WorkQueue.open(bus, "default");
  const depths: Depth[] = [];
  let stopped = false;
  const sample = async (): Promise<void> => {
    while (!stopped) {
      const lanes = await queue.depth();
      const sum = (of: "waiting" | "inFlight"): number => lanes.reduce((total, lane) => total + lane[of], 0);
      depths.push({
        at: loop.now(),
        waiting: sum("waiting"),
        inFlight: sum("inFlight"),
        level: load.level.level(),
      });
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
    }
  };
  const wanted = new Map<string, TracedRequest>();
  let n = 0;
  let cut = 0;
  const next = () => {
    const request = requests[n++] as TracedRequest;
    const { session, turn, messageTokens } = threads.next(request);
    const head = `Answer in ${request.outputTokens} tokens. `;
    const chars = Math.max(head.length, messageTokens * TOKEN_CHARS);
    if (chars > LIMITS.messageTextChars) cut++;
    wanted.set(`${session}/${turn}`, request);
    const text = head + textOf(Math.min(chars, LIMITS.messageTextChars) - head.length, random);
    // The tenant belongs to the session, which begins with a letter.
    return {
      tenant: `tenant-${Number.parseInt(session.slice(1), 10) % TENANTS}`,
      session,
      text,
      group: turn > 1 ? "ongoing" : "new",
    };
  };
  say(`${requests.length} messages of ${options.traceName} in ${seconds} s, ${speed} times as fast`);
  const sampling = sample();
  const [from, before] = [loop.now(), await deployed.cpuMs()];
  await loop.play(
    requests.map(({ at }) => from + at),
    next,
  );
  const sentAt = loop.now();
  const cores = ((await deployed.cpuMs()) - before) / (sentAt - from);
  await loop.settled(SETTLE_LIMIT_MS);
  const doneAt = loop.now();
  stopped = true;
  await sampling;
  queue.close();
  load.stop();
  return { asked: loop.asked, depths, sentAt, doneAt, wanted, cut, cores };
}
