/**
 * `jetclaw bench age`: conversations of very many turns beside conversations of a few, in the same deployment. Turns of
 * both in memory, first turns after a host has started, and messages that come again long after their ids were forgotten.
 */
import { ConversationClient } from "#actors/conversation/client.ts";
import { decode } from "#contracts/codec.ts";
import { shardOf } from "#contracts/ids.ts";
import { actorsBucket, routeOf, tokensSessionFilter } from "#contracts/subjects.ts";
import { CONVERSATION, type StreamEvent, type TurnRecord } from "#contracts/turn.ts";
import { systemClock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { sendToActor } from "#runtime/nats/inbound.ts";
import { Kv } from "#runtime/nats/kv.ts";
import { type AgeSeen, ageResult, type Stretch } from "./age-figures.ts";
import { cpuMsOfProcess, writtenBytesOfProcess } from "./children.ts";
import { type Deployed, echoConfig, type LoadBench, onDeployment } from "./deployed.ts";
import { type BenchResult, randomFrom, textOf } from "./shape.ts";

export interface AgeOptions extends LoadBench {
  /** Of an old conversation before anything is measured. */
  readonly turns: number;
  /** Of a young one. */
  readonly youngTurns: number;
  /** Old conversations, and turns under way at once. */
  readonly old: number;
  readonly rounds: number;
}

const TENANT = "bench";
const TEXT_BYTES = 200;
const TEXTS = 64;
const SLOTS = 64;
/** Turns of a young conversation that are measured before it counts as young no more. */
const YOUNG_MEASURED = 10;
/** First turns after a start: of each old conversation, and of as many young ones, so many times over. */
const STARTS = 3;
const WARMING_TURNS = 200;
const LOST_MS = 30_000;

export function benchAge(options: AgeOptions): Promise<BenchResult> {
  return onDeployment(
    options,
    "age",
    {
      hosts: 1,
      workers: 1,
      slots: SLOTS,
      // Whoever is measured in memory stays there.
      config: () => echoConfig(SLOTS, { residency: 20_000 }),
    },
    async (deployed, fsync) =>
      ageResult(options, fsync, await run(options, deployed, await Talks.open(deployed.bus, options.seed))),
  );
}

async function run(options: AgeOptions, deployed: Deployed, talks: Talks): Promise<AgeSeen> {
  const { turns, youngTurns, old, rounds, seconds, say } = options;
  const oldOnes = Array.from({ length: old }, (_, n) => `old-${n}`);
  say(`${old} conversations of ${turns} turns`);
  await Promise.all(oldOnes.map((session) => talks.talk(session, turns)));
  const measured: Record<"old" | "young", Stretch[]> = { old: [], young: [] };
  let young: string[] = [];
  for (let round = 0; round < rounds; round++) {
    say(`round ${round + 1} of ${rounds}`);
    const until = performance.now() + seconds * 1_000;
    const ofOld = await stretch(deployed, () =>
      Promise.all(oldOnes.map((session) => talks.talk(session, Number.POSITIVE_INFINITY, until))),
    );
    measured.old.push(ofOld);
    young = Array.from({ length: Math.ceil(ofOld.turns / YOUNG_MEASURED) }, (_, n) => `young-${round}-${n}`);
    await talks.inTurn(young, old, youngTurns);
    measured.young.push(await stretch(deployed, () => talks.inTurn(young, old, YOUNG_MEASURED)));
  }
  const recordBytes = {
    old: await bytesOf(deployed, oldOnes),
    young: await bytesOf(deployed, young.slice(0, old)),
  };
  const repeats = {
    old: await repeated(talks, oldOnes, (session) =>
      [1, Math.ceil(turns / 2)].map((turn) => idOf(session, turn)),
    ),
    young: await repeated(talks, young.slice(0, 2 * old), (session) => [
      idOf(session, youngTurns + YOUNG_MEASURED),
    ]),
  };
  const lookUps = {
    old: await lookedUp(deployed, oldOnes),
    young: await lookedUp(deployed, young.slice(0, old)),
  };
  const first = await firstTurns(deployed, talks, { old: oldOnes, young: young.slice(0, old) }, say);
  return { measured, recordBytes, repeats, lookUps, first };
}

async function stretch(deployed: Deployed, play: () => Promise<number[][]>): Promise<Stretch> {
  const before = await spent(deployed);
  const latencies = (await play()).flat();
  const after = await spent(deployed);
  return {
    turns: latencies.length,
    latencies,
    hostCpuMs: after.hostCpuMs - before.hostCpuMs,
    natsCpuMs: after.natsCpuMs - before.natsCpuMs,
    writtenBytes: after.writtenBytes - before.writtenBytes,
  };
}

async function spent({ hosts: [host], natsPid }: Deployed): Promise<Omit<Stretch, "turns" | "latencies">> {
  return {
    hostCpuMs: (await host?.usage())?.cpuMs ?? 0,
    natsCpuMs: cpuMsOfProcess(natsPid) ?? 0,
    writtenBytes: writtenBytesOfProcess(natsPid),
  };
}

/** Mean size of the stored records. */
async function bytesOf({ bus, deployment }: Deployed, sessions: readonly string[]): Promise<number> {
  const sizes = await Promise.all(
    sessions.map(async (key) => {
      const { path, partition } = routeOf({ kind: CONVERSATION, tenant: TENANT, key });
      const { value } = await new Kv(bus, actorsBucket(shardOf(partition, deployment.shards))).get(path);
      return value?.length ?? 0;
    }),
  );
  return sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
}

/** One at a time: what is timed is the look-up and not the queue for it. */
async function repeated(
  talks: Talks,
  sessions: readonly string[],
  idsOf: (session: string) => readonly string[],
): Promise<number[]> {
  const times: number[] = [];
  for (const session of sessions) for (const id of idsOf(session)) times.push(await talks.again(session, id));
  return times;
}

/** What a gateway asks that has heard nothing of a message for a while: here of one that no turn has. */
async function lookedUp({ bus, deployment }: Deployed, sessions: readonly string[]): Promise<number[]> {
  const client = new ConversationClient(bus, deployment, systemClock);
  const times: number[] = [];
  for (const session of sessions) {
    const from = performance.now();
    await client.turnOf(TENANT, session, "not-there-yet");
    times.push(performance.now() - from);
  }
  return times;
}

async function firstTurns(
  deployed: Deployed,
  talks: Talks,
  sessions: Record<"old" | "young", readonly string[]>,
  say: (line: string) => void,
): Promise<Record<"old" | "young", number[]>> {
  const times: Record<"old" | "young", number[]> = { old: [], young: [] };
  let [host] = deployed.hosts;
  for (let start = 0; start < STARTS; start++) {
    say(`start ${start + 1} of ${STARTS}`);
    await host?.stop();
    host = await deployed.startHost();
    // A process that has just started compiles; every conversation would look slow.
    await talks.inTurn([`warming-${start}`], 1, WARMING_TURNS);
    for (const [n, old] of sessions.old.entries()) {
      times.old.push(...(await talks.talk(old, 1)));
      times.young.push(...(await talks.talk(sessions.young[n] as string, 1)));
    }
  }
  return times;
}

/** As long as the ids that clients make. */
const ID_CHARS = 22;
const idOf = (session: string, turn: number): string => `${session}-${turn}`.padEnd(ID_CHARS, "_");

/** A client that speaks in sessions, one turn at a time in each. */
class Talks {
  readonly #bus: Bus;
  readonly #texts: readonly string[];
  readonly #turns = new Map<string, number>();
  readonly #waiting = new Map<string, () => void>();

  private constructor(bus: Bus, seed: number) {
    const random = randomFrom(seed);
    this.#bus = bus;
    this.#texts = Array.from({ length: TEXTS }, () => textOf(TEXT_BYTES, random));
  }

  static async open(bus: Bus, seed: number): Promise<Talks> {
    const talks = new Talks(bus, seed);
    bus.subscribe("turn.>", ({ data }) => {
      const record = decode<TurnRecord>(data);
      if (record.type === "turn") for (const { id } of record.messages) talks.#answered(id);
    });
    await bus.flush();
    return talks;
  }

  /** So many turns of one session, or for so long. @returns the latency of each */
  async talk(session: string, turns: number, until = Number.POSITIVE_INFINITY): Promise<number[]> {
    const latencies: number[] = [];
    while (latencies.length < turns && performance.now() < until) {
      const turn = (this.#turns.get(session) ?? 0) + 1;
      this.#turns.set(session, turn);
      latencies.push(await this.#ask(session, idOf(session, turn)));
    }
    return latencies;
  }

  /** So many turns of each session, so many sessions at once. */
  async inTurn(sessions: readonly string[], atOnce: number, turns: number): Promise<number[][]> {
    const left = [...sessions];
    const loop = async (): Promise<number[]> => {
      const latencies: number[] = [];
      for (let session = left.pop(); session !== undefined; session = left.pop())
        latencies.push(...(await this.talk(session, turns)));
      return latencies;
    };
    return await Promise.all(Array.from({ length: atOnce }, loop));
  }

  /** The time until a message that was answered long ago is answered again. */
  async again(session: string, id: string): Promise<number> {
    const listening = this.#bus.subscribe(tokensSessionFilter(TENANT, session), ({ data }) => {
      if (decode<StreamEvent>(data).type === "done") this.#answered(id);
    });
    await this.#bus.flush();
    try {
      return await this.#ask(session, id);
    } finally {
      listening.stop();
    }
  }

  async #ask(session: string, id: string): Promise<number> {
    const from = performance.now();
    let lost: NodeJS.Timeout | undefined;
    const answered = new Promise<void>((resolve, reject) => {
      this.#waiting.set(id, resolve);
      lost = setTimeout(
        () => reject(new Error(`${id} was not answered within ${LOST_MS / 1_000} s`)),
        LOST_MS,
      );
    });
    const text = this.#texts[this.#waiting.size % TEXTS];
    await sendToActor(this.#bus, {
      id,
      tenant: TENANT,
      kind: CONVERSATION,
      key: session,
      type: "user",
      body: { parts: [{ type: "text", text }], channel: "web", locale: "en" },
      at: Date.now(),
    });
    await answered;
    clearTimeout(lost);
    return performance.now() - from;
  }

  #answered(id: string): void {
    this.#waiting.get(id)?.();
    this.#waiting.delete(id);
  }
}
