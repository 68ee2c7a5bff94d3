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
import {
  type AffinityOptions,
  type Figures,
  figuresOf,
  PAYLOADS,
  PREFIXES,
  resultOf,
  TOKENS_PER_SECOND,
  TTFT_MS,
  type Turn,
} from "./affinity-figures.ts";
import { type BenchResult, randomFrom, textOf } from "./shape.ts";

const DEADLINE_MS = 30_000;
const WARM_UP_SECONDS = 1;

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
      { onTry() {}, onFailure() {}, onWait() {}, onRestart: () => 2 },
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
