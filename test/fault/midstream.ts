// Workers killed in mid-stream, seen as a client sees it: every turn that a dead worker had begun is restarted in sight,
// in time, and what the client has read in the end is one answer, the one that was recorded.

import { decode } from "#contracts/codec.ts";
import type { PoolConfig } from "#contracts/config.ts";
import { LIMITS } from "#contracts/limits.ts";
import { CORE, tokensSessionFilter } from "#contracts/subjects.ts";
import { CONVERSATION, type StreamEvent, type TurnRecord } from "#contracts/turn.ts";
import { startSimulator } from "#ops/simulator/server.ts";
import { NO_DATA } from "#runtime/nats/connect.ts";
import { sendToActor } from "#runtime/nats/inbound.ts";
import type { Beat } from "#runtime/observe/presence.ts";
import { Cluster } from "#test/harness/cluster.ts";
import type { Member } from "#test/harness/member-process.ts";
import { randomOf } from "#test/harness/random.ts";
import { pause, waitUntil } from "#test/harness/wait.ts";

export interface MidstreamOptions {
  readonly seed: number;
  readonly kills: number;
  /** The client reads on after a restart as if nothing was: glued answers must be found. */
  readonly control: boolean;
  readonly say: (line: string) => void;
}

export interface Findings {
  readonly figures: Readonly<Record<string, number>>;
  /** What was demanded and does not hold, each a sentence. */
  readonly broken: readonly string[];
}

const WORKERS = 5;
const TURNS_AT_ONCE = 4;
/** Long enough to be caught in the middle: 100 tokens in 1.6 s. */
const SIMULATED = { ttftMs: 50, tokensPerSecond: 60, replyBytes: 400 };
const HEAD = "Simulated answer to:";
const VISIBLE_MS = 6_000;
/** Sooner no death can be noticed: the ack wait of a job. */
const NOTICED_MS = LIMITS.jobAckWaitMs / 2;
const TENANT = "demo";

/** A client that follows one session: what it has read, and when it was told to begin anew. */
class Reader {
  readonly session: string;
  readonly restartsAt: number[] = [];
  deltas = 0;
  text = "";
  done = false;
  records = 0;
  recordedAt = 0;
  reply = "";
  /** Its worker was killed while it was being answered. */
  hitAt = 0;
  readonly #deaf: boolean;
  #attempt = 0;

  constructor(session: string, deaf: boolean) {
    this.session = session;
    this.#deaf = deaf;
  }

  hear({ type, attempt, text = "" }: StreamEvent): void {
    if (type === "done") this.done = true;
    if (type === "restart") this.restartsAt.push(Date.now());
    if (!this.#deaf) {
      if (attempt < this.#attempt) return;
      if (attempt > this.#attempt) {
        this.#attempt = attempt;
        this.text = "";
      }
    }
    if (type !== "delta") return;
    this.deltas++;
    this.text += text;
  }

  get midStream(): boolean {
    return this.deltas >= 3 && !this.done;
  }
}

export async function midstream({ seed, kills, control, say }: MidstreamOptions): Promise<Findings> {
  const startedAt = Date.now();
  const random = randomOf(seed).fork("midstream");
  const simulator = await startSimulator({ ...SIMULATED, seed });
  const cluster = await Cluster.start({
    hosts: 1,
    workers: WORKERS,
    spares: TURNS_AT_ONCE,
    pools: poolsOf(simulator.baseUrl),
  });
  const readers: Reader[] = [];
  const bySession = new Map<string, Reader>();
  try {
    const { bus } = cluster;
    bus.subscribe("turn.>", ({ data }) => {
      const record = decode<TurnRecord>(data);
      const reader = bySession.get(record.session);
      if (!reader || record.type !== "turn") return;
      reader.records++;
      reader.recordedAt = Date.now();
      reader.reply = record.reply;
    });
    const beats = beatsOf(cluster);
    let deaths = 0;
    for (let round = 1; deaths < kills; round++) {
      await waitUntil(() => cluster.members("worker").filter((m) => m.joined).length >= WORKERS, {
        timeoutMs: 60_000,
        what: "the workers",
      });
      const asked = Array.from({ length: TURNS_AT_ONCE }, (_, n) => new Reader(`r${round}-${n}`, control));
      for (const reader of asked) {
        bySession.set(reader.session, reader);
        bus.subscribe(tokensSessionFilter(TENANT, reader.session), ({ data }) =>
          reader.hear(decode<StreamEvent>(data)),
        );
      }
      await bus.flush();
      await Promise.all(asked.map((reader) => ask(cluster, reader.session)));
      await waitUntil(() => asked.every((reader) => reader.midStream || reader.done), {
        timeoutMs: 20_000,
        what: "every turn to stream",
      });
      // Not always at the same word.
      await pause(random.int(0, 500));
      const holders = await beats.busy();
      const killedAt = Date.now();
      await Promise.all(holders.map((member) => member.kill()));
      deaths += holders.length;
      // All that held anything are dead.
      for (const reader of asked) if (!reader.done) reader.hitAt = killedAt;
      for (let n = 0; n < holders.length; n++) cluster.launch("worker");
      await waitUntil(() => asked.every((reader) => reader.records > 0), {
        timeoutMs: 60_000,
        what: "every turn to be answered",
      });
      readers.push(...asked);
      say(`${deaths}/${kills} workers killed, ${readers.filter(restarted).length} turns restarted`);
    }
    // A second record would come now.
    await cluster.drained(30_000);
    const billed = simulator.bill().filter(({ outcome }) => outcome === "finished");
    return judge(readers, deaths, billed, (Date.now() - startedAt) / 1_000);
  } finally {
    await cluster.close();
    await simulator.close();
  }
}

const restarted = ({ restartsAt }: Reader): boolean => restartsAt.length > 0;

function judge(
  readers: readonly Reader[],
  kills: number,
  billed: readonly { job: string | undefined }[],
  seconds: number,
): Findings {
  // What was recorded before anybody could have noticed the death had been finished by the worker that died.
  const hit = readers.filter(
    (reader) => reader.hitAt > 0 && (restarted(reader) || reader.recordedAt - reader.hitAt > NOTICED_MS),
  );
  const delays = hit
    .flatMap(({ hitAt, restartsAt }) => (restartsAt[0] === undefined ? [] : [restartsAt[0] - hitAt]))
    .sort((a, b) => a - b);
  const glued = readers.filter(({ text, reply }) => text !== reply || text.split(HEAD).length !== 2).length;
  const jobs = new Set(billed.map(({ job }) => job));
  const figures = {
    kills,
    turns: readers.length,
    turnsHit: hit.length,
    restartFrames: readers.filter(restarted).length,
    restartP50Ms: delays[Math.floor(delays.length / 2)] ?? 0,
    restartMostMs: delays.at(-1) ?? 0,
    gluedAnswers: glued,
    doubledTurns: readers.filter(({ records }) => records > 1).length,
    unanswered: readers.filter(({ records }) => records === 0).length,
    paidTwice: billed.length - jobs.size,
    seconds: Math.round(seconds),
  };
  const unseen = hit.filter((reader) => !restarted(reader)).length;
  const broken = [
    ...(figures.restartFrames < kills ? [`${figures.restartFrames} restart frames for ${kills} kills`] : []),
    ...(unseen > 0 ? [`${unseen} turns that were hit show no restart`] : []),
    ...(figures.restartMostMs > VISIBLE_MS
      ? [`a restart was visible only after ${figures.restartMostMs} ms`]
      : []),
    ...(glued > 0 ? [`${glued} answers that a client read are not the one that was recorded`] : []),
    ...(figures.doubledTurns > 0 ? [`${figures.doubledTurns} messages answered twice`] : []),
  ];
  return { figures, broken };
}

const ask = (cluster: Cluster, session: string): Promise<unknown> =>
  sendToActor(cluster.bus, {
    id: `${session}-m`,
    tenant: TENANT,
    kind: CONVERSATION,
    key: session,
    type: "user",
    body: { parts: [{ type: "text", text: `Question of ${session}` }], channel: "web", locale: "en" },
    at: Date.now(),
  });

/** Workers say how many jobs they hold; when the roll is called, at once. */
function beatsOf(cluster: Cluster): { busy(): Promise<Member[]> } {
  const { bus } = cluster;
  const heard = new Map<string, { at: number; inFlight: number }>();
  bus.subscribe(CORE.roleHeartbeat("worker"), ({ data }) => {
    const { instance, info } = decode<Beat>(data);
    heard.set(instance, { at: Date.now(), inFlight: Number(info.inFlight) });
  });
  return {
    async busy() {
      const calledAt = Date.now();
      bus.publish(CORE.rollCall, NO_DATA);
      const members = cluster.members("worker").filter((m) => m.joined);
      await waitUntil(() => members.every(({ instance }) => (heard.get(instance)?.at ?? 0) >= calledAt), {
        timeoutMs: 5_000,
        what: "every worker to say what it holds",
        pollMs: 5,
      });
      return members.filter(({ instance }) => (heard.get(instance)?.inFlight ?? 0) > 0);
    },
  };
}

const poolsOf = (baseUrl: string): Readonly<Record<string, PoolConfig>> => ({
  default: {
    models: [{ name: "simulated", provider: "openai", baseUrl, apiKey: "none", concurrency: 16 }],
    fallback: [],
  },
});
