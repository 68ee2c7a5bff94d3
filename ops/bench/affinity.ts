/**
 * `jetclaw bench affinity`: conversations of several turns over model servers that remember prefixes. The same worker
 * code with its two orders: a conversation stays with its endpoint, or every turn goes anywhere. Rounds alternate.
 */
import { modelsOf } from "#actors/inference/models/registry.ts";
import { ModelPool } from "#actors/inference/pool.ts";
import { poolSchema } from "#contracts/config.ts";
import { type ChatMessage, JOB_VERSION, type Job } from "#contracts/job.ts";
import { systemClock } from "#runtime/clock.ts";
import { type Simulator, startSimulator } from "../simulator/server.ts";
import { type BenchResult, describeMachine, median, quantile, randomFrom, round, textOf } from "./shape.ts";

export interface AffinityOptions {
  readonly seed: number;
  /** Measured for each of the two orders, over all rounds. */
  readonly seconds: number;
  /** Conversations at once. */
  readonly inFlight: number;
  readonly rounds: number;
  readonly endpoints: number;
  readonly turns: number;
  readonly prefillMsPer1kTokens: number;
  readonly say: (line: string) => void;
}

/** A help desk's instructions, and short turns. Four bytes are about a token. */
const PAYLOADS = { instructionBytes: 2_048, messageBytes: 256, replyBytes: 512 };
/** Prefixes of one server: enough for every open conversation, so that what is lost was lost by moving. */
const PREFIXES = 20_000;
const TTFT_MS = 20;
const TOKENS_PER_SECOND = 2_000;
const DEADLINE_MS = 30_000;
const WARM_UP_SECONDS = 1;

interface Turn {
  readonly turn: number;
  readonly firstTokenMs: number;
  readonly inputTokens: number;
  readonly cachedTokens: number;
}

export async function benchAffinity(options: AffinityOptions): Promise<BenchResult> {
  const rounds: Record<"on" | "off", Figures[]> = { on: [], off: [] };
  const share = options.seconds / options.rounds;
  // Thrown away: code that runs for the first time is slow.
  await measure(options, true, options.seed, WARM_UP_SECONDS);
  for (let n = 0; n < options.rounds; n++) {
    // The order changes, so that a machine that slows down slows both.
    for (const order of n % 2 === 0 ? (["on", "off"] as const) : (["off", "on"] as const)) {
      const turns = await measure(options, order === "on", options.seed + n, share);
      const figures = figuresOf(turns, share);
      rounds[order].push(figures);
      options.say(
        `round ${n + 1} of ${options.rounds}, affinity ${order}: first token after ${figures.meanFirstTokenMs} ms, ${Math.round(figures.cachedShare * 100)} % of the input cached, ${turns.length} turns`,
      );
    }
  }
  return resultOf(options, rounds.on, rounds.off);
}

async function measure(
  options: AffinityOptions,
  affinity: boolean,
  seed: number,
  seconds: number,
): Promise<Turn[]> {
  // Fresh servers: nothing is warm but what this round warms.
  const servers = await Promise.all(
    Array.from({ length: options.endpoints }, () =>
      startSimulator({
        prefixCache: PREFIXES,
        prefillMsPer1kTokens: options.prefillMsPer1kTokens,
        ttftMs: TTFT_MS,
        tokensPerSecond: TOKENS_PER_SECOND,
        replyBytes: PAYLOADS.replyBytes,
      }),
    ),
  );
  try {
    const pool = poolOver(servers, options.inFlight);
    const random = randomFrom(seed);
    const instructions = textOf(PAYLOADS.instructionBytes, random);
    const until = performance.now() + seconds * 1_000;
    const turns: Turn[] = [];
    const talk = async (n: number): Promise<void> => {
      // The first conversations begin in the middle, so that not all of them are in the same turn.
      for (let made = 0; performance.now() < until; made++) {
        const talked = conversation(pool, `${n}-${made}`, instructions, affinity, random);
        for (let turn = made === 0 ? n % options.turns : 0; turn < options.turns; turn++) {
          if (performance.now() >= until) break;
          turns.push(await talked());
        }
      }
    };
    await Promise.all(Array.from({ length: options.inFlight }, (_, n) => talk(n)));
    return turns;
  } finally {
    await Promise.all(servers.map((server) => server.close()));
  }
}

/** Room for every conversation on one endpoint: a full one would send them elsewhere, which is not measured here. */
function poolOver(servers: readonly Simulator[], inFlight: number): ModelPool {
  const config = poolSchema.parse({
    models: [
      {
        name: "simulated",
        endpoints: servers.map(({ baseUrl }) => ({ baseUrl })),
        concurrency: Math.min(1_024, inFlight * servers.length),
      },
    ],
  });
  return new ModelPool(modelsOf(config), systemClock);
}

/** Takes the next turn of one conversation at each call. */
function conversation(
  pool: ModelPool,
  session: string,
  instructions: string,
  affinity: boolean,
  random: () => number,
): () => Promise<Turn> {
  const messages: ChatMessage[] = [{ role: "system", content: instructions }];
  let turn = 0;
  return async () => {
    turn++;
    const question = textOf(PAYLOADS.messageBytes, random);
    messages.push({ role: "user", content: question });
    // A session of its own for each turn is how a turn goes anywhere: the key of the endpoint is the session.
    const job = jobOf(affinity ? session : `${session}-${turn}`, turn, messages, question);
    const from = performance.now();
    let firstTokenMs: number | undefined;
    const answer = await pool.run(
      job,
      {
        signal: AbortSignal.timeout(DEADLINE_MS),
        attempt: 1,
        onText: () => {
          firstTokenMs ??= performance.now() - from;
        },
      },
      { onTry() {}, onFailure() {}, onRestart: () => 2 },
    );
    messages.push({ role: "assistant", content: answer.text });
    const { inputTokens, cachedInputTokens = 0 } = answer.usage;
    return { turn, firstTokenMs: firstTokenMs ?? 0, inputTokens, cachedTokens: cachedInputTokens };
  };
}

function jobOf(session: string, turn: number, messages: readonly ChatMessage[], question: string): Job {
  const at = Date.now();
  return {
    v: JOB_VERSION,
    id: `bench.affinity.${session}.${turn}`,
    tenant: "bench",
    session,
    turn,
    step: 0,
    pool: "default",
    cls: turn === 1 ? "new" : "ongoing",
    lane: 0,
    at,
    deadline: at + DEADLINE_MS,
    messages: [...messages],
    question,
    locale: "en",
    passages: [],
    stream: true,
  };
}

interface Figures {
  readonly meanFirstTokenMs: number;
  readonly p50FirstTokenMs: number;
  readonly p99FirstTokenMs: number;
  readonly meanFirstTokenOngoingMs: number;
  readonly cachedShare: number;
  readonly turnsPerSecond: number;
}

function figuresOf(turns: readonly Turn[], seconds: number): Figures {
  const times = turns.map(({ firstTokenMs }) => firstTokenMs);
  const ongoing = turns.filter(({ turn }) => turn > 1).map(({ firstTokenMs }) => firstTokenMs);
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const mean = (values: readonly number[]): number => round(sum(values) / (values.length || 1));
  const input = sum(turns.map(({ inputTokens }) => inputTokens));
  return {
    meanFirstTokenMs: mean(times),
    p50FirstTokenMs: round(quantile(times, 0.5)),
    p99FirstTokenMs: round(quantile(times, 0.99)),
    meanFirstTokenOngoingMs: mean(ongoing),
    cachedShare: round(sum(turns.map(({ cachedTokens }) => cachedTokens)) / (input || 1)),
    turnsPerSecond: round(turns.length / seconds, 1),
  };
}

const UNITS: Readonly<Record<keyof Figures, string>> = {
  meanFirstTokenMs: "ms",
  p50FirstTokenMs: "ms",
  p99FirstTokenMs: "ms",
  meanFirstTokenOngoingMs: "ms",
  cachedShare: "ratio",
  turnsPerSecond: "turns/s",
};
const NAMES = Object.keys(UNITS) as (keyof Figures)[];
/** Baselines stand beside their figures under this prefix. */
export const SCATTERED = "scattered";

function resultOf(options: AffinityOptions, on: readonly Figures[], off: readonly Figures[]): BenchResult {
  const { seed, seconds, rounds, inFlight, endpoints, turns, prefillMsPer1kTokens } = options;
  const medians = (of: readonly Figures[]): Figures =>
    Object.fromEntries(NAMES.map((name) => [name, round(median(of.map((each) => each[name])))])) as Record<
      keyof Figures,
      number
    >;
  const figures = medians(on);
  const base = medians(off);
  const named = NAMES.map((name) => [name, `${SCATTERED}${name[0]?.toUpperCase()}${name.slice(1)}`] as const);
  return {
    bench: "affinity",
    seed,
    machine: describeMachine("none"),
    config: {
      seconds,
      rounds,
      inFlight,
      endpoints,
      turnsPerConversation: turns,
      payloads: PAYLOADS,
      server: {
        ttftMs: TTFT_MS,
        tokensPerSecond: TOKENS_PER_SECOND,
        prefillMsPer1kTokens,
        prefixes: PREFIXES,
      },
      traceSampling: 0,
      processes: { all: 1 },
    },
    figures: {
      ...figures,
      firstTokenRatio: round(figures.meanFirstTokenMs / (base.meanFirstTokenMs || 1)),
    },
    units: {
      ...Object.fromEntries(
        named.flatMap(([name, other]) => [
          [name, UNITS[name]],
          [other, UNITS[name]],
        ]),
      ),
      firstTokenRatio: "ratio",
    },
    baselines: Object.fromEntries(named.map(([name, other]) => [other, base[name]])),
  };
}
