/**
 * What `jetclaw demo failover` shows: a deployment on free ports with a slow model and two workers, a question, the death
 * of the worker in mid-answer, the restart and the second answer. It tells as it goes; who prints is the command's matter.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { configSchema } from "#contracts/config.ts";
import { startNatsServer } from "#runtime/nats/server.ts";
import { createLog } from "#runtime/observe/log.ts";
import { Presence } from "#runtime/observe/presence.ts";
import { type Child, startChild } from "../bench/children.ts";
import { type Cleanup, startCleanly } from "../bench/cleanup.ts";
import { connectTo } from "../compose/open.ts";
import { runProcess } from "../compose/process.ts";
import { createClient } from "../package/client.ts";
import type { Settings } from "../settings.ts";
import { startSimulator } from "../simulator/server.ts";

export interface FailoverOptions {
  readonly settings: Settings;
  readonly natsBin: string;
  /** A line of what happens. */
  readonly say: (line: string) => void;
  /** Text of the answer as it comes. */
  readonly show: (text: string) => void;
  readonly seed: number;
}

export interface FailoverOutcome {
  readonly question: string;
  readonly killed: { readonly pid: number; readonly afterMs: number; readonly charactersShown: number };
  /** From the kill to the frame that says that the answer starts again. */
  readonly restartAfterMs: number;
  /** From the kill to the first text of the second answer, and to its end. */
  readonly textAfterMs: number;
  readonly answeredAfterMs: number;
  readonly attempts: readonly number[];
  readonly answeredBy: number | undefined;
  readonly reply: string;
  /** What was streamed after the restart is what the turn's record holds. */
  readonly replaced: boolean;
  readonly turnsStored: number;
}

const QUESTION = "How long may I keep shoes before I send them back?";
const ANSWER =
  "You may send shoes back within thirty days, as long as they were not worn outside. Put them into their box, print the label from your account and bring the parcel to any post office. The money is on your account within five working days after we have them. If a shoe is broken, the warranty holds for two years and we pay for the parcel.";
const TOKENS_PER_SECOND = 24;
/** So much of the answer is seen before the worker dies. */
const SHOWN_CHARACTERS = 110;
const FIND_LIMIT_MS = 5_000;
const WHOLE_LIMIT_MS = 25_000;

interface Stage {
  readonly url: string;
  readonly workers: readonly Child[];
  /** The worker that holds a job. */
  busy(): Promise<Child>;
}

export async function demoFailover(options: FailoverOptions): Promise<FailoverOutcome> {
  const { say } = options;
  return startCleanly(async (cleanup) => {
    say("Starting nats-server, gateway, conversation host, a slow model and two workers ...");
    const stage = await setUp(options, cleanup);
    const outcome = await play(options, stage);
    await cleanup.run();
    return outcome;
  });
}

async function setUp({ settings, natsBin, seed }: FailoverOptions, cleanup: Cleanup): Promise<Stage> {
  const dataDir = await mkdtemp(join(tmpdir(), "jetclaw-demo-"));
  cleanup.add(() => rm(dataDir, { recursive: true, force: true }));
  const log = createLog({ level: "silent" });
  const server = await startNatsServer({ bin: natsBin, dataDir, port: 0, syncInterval: "1s", log: () => {} });
  cleanup.add(() => server.stop());
  const model = await startSimulator({
    seed,
    ttftMs: 200,
    tokensPerSecond: TOKENS_PER_SECOND,
    answer: () => ANSWER,
  });
  cleanup.add(() => model.stop());
  const config = configSchema.parse({
    assistants: { demo: { instructions: "Answer as the shop's assistant.", knowledge: [] } },
    pools: { default: { models: [{ name: "slow", baseUrl: model.baseUrl, concurrency: 2 }] } },
    responseCache: false,
    shards: 1,
  });
  const over = Promise.withResolvers<void>();
  const running = await runProcess({
    roles: ["gateway", "conversation"],
    settings: { ...settings, host: "127.0.0.1", port: 0, dataDir },
    config,
    natsUrl: server.url,
    log,
    say: () => {},
    natsEnded: over.promise,
  });
  cleanup.add(() => {
    // All of it is thrown away: nothing is worth a drain.
    over.resolve();
    return running.stop();
  });
  const task = { kind: "part", part: "worker", natsUrl: server.url, config, slots: 2, modelMs: 0 } as const;
  const workers = await Promise.all([startChild(task, cleanup), startChild(task, cleanup)]);
  const bus = await connectTo(server.url, "demo-watch", log);
  cleanup.add(() => bus.close());
  const presence = new Presence(bus, "worker");
  return { url: running.url as string, workers, busy: () => busyOf(presence, workers) };
}

/** Workers say twice a second how many jobs they hold, and which process they are. */
async function busyOf(presence: Presence, workers: readonly Child[]): Promise<Child> {
  for (const until = Date.now() + FIND_LIMIT_MS; Date.now() < until; ) {
    const beat = presence.live().find(({ info }) => Number(info.inFlight) > 0);
    const found = workers.find(({ pid }) => String(pid) === /\d+$/.exec(beat?.where ?? "")?.[0]);
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("no worker says that it holds the job");
}

async function play({ say, show }: FailoverOptions, stage: Stage): Promise<FailoverOutcome> {
  await using client = createClient({ url: stage.url, key: "demo" });
  const conversation = client.conversation("failover");
  say(`Workers are the processes ${stage.workers.map(({ pid }) => pid).join(" and ")}.\n`);
  say(`you  ${QUESTION}`);
  const askedAt = performance.now();
  const turn = conversation.send(QUESTION, { signal: AbortSignal.timeout(WHOLE_LIMIT_MS) });
  let shown = "";
  let killed: { pid: number; at: number; charactersShown: number } | undefined;
  let restartAt = 0;
  let textAt = 0;
  const attempts = new Set<number>();
  for await (const event of turn) {
    if (event.type === "restart" && killed && restartAt === 0) {
      restartAt = performance.now();
      shown = "";
      say(
        `\n\n     The job was given to the other worker ${seconds(restartAt - killed.at)} after the kill. Its restart frame says: what follows replaces what came.\n`,
      );
    }
    if (event.type !== "delta") continue;
    attempts.add(event.attempt);
    if (restartAt > 0 && textAt === 0) textAt = performance.now();
    shown += event.text ?? "";
    show(event.text ?? "");
    if (killed || shown.length < SHOWN_CHARACTERS) continue;
    const victim = await stage.busy();
    killed = { pid: victim.pid, at: performance.now(), charactersShown: shown.length };
    victim.kill();
    say(
      `\n\n     kill -9 ${victim.pid}: the worker that streams this answer is dead. The stream stays open.`,
    );
  }
  const answer = await turn.reply();
  const endedAt = performance.now();
  if (!killed || restartAt === 0)
    throw new Error("the answer ended without a restart: the worker was not killed in the middle of it");
  const survivor = stage.workers.find(({ pid }) => pid !== killed?.pid);
  const transcript = await conversation.transcript();
  const from = killed.at;
  return {
    question: QUESTION,
    killed: { pid: killed.pid, afterMs: ms(from - askedAt), charactersShown: killed.charactersShown },
    restartAfterMs: ms(restartAt - from),
    textAfterMs: ms((textAt || endedAt) - from),
    answeredAfterMs: ms(endedAt - from),
    attempts: [...attempts],
    answeredBy: survivor?.pid,
    reply: answer.reply,
    replaced: shown === answer.reply && answer.reply === ANSWER,
    turnsStored: transcript?.turns.length ?? 0,
  };
}

const ms = (time: number): number => Math.round(time);
const seconds = (time: number): string => `${(time / 1_000).toFixed(1)} s`;
