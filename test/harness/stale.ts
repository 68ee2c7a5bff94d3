// Look-ups on several hosts racing with changes of documents, while the consumers of the changes, indexers and
// invalidators, are killed at random: after a change was acknowledged as indexed, no answer may be older than it, and none
// may be of another topic than was asked for.
import { type ChildProcess, fork } from "node:child_process";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { createKnowledgeStore } from "#actors/knowledge/store.ts";
import { systemClock } from "#runtime/clock.ts";
import { connectBus } from "#runtime/nats/connect.ts";
import { provision } from "#runtime/nats/topology.ts";
import type { CacheRole, Look, Looked, Orders } from "./cache-process.ts";
import { embeddingModel } from "./embedding-model.ts";
import { silentLog } from "./knowledge.ts";
import { startTestNats } from "./nats.ts";
import { type Random, randomOf } from "./random.ts";
import { endWithUs } from "./reaping.ts";
import { TOPICS } from "./topics.ts";

export interface StaleOptions {
  readonly seed: number;
  readonly lookups: number;
  readonly hosts: number;
  /** A consumer is killed after so many look-ups, on average. */
  readonly killEvery: number;
  /** Caches that believe that nothing changes: stale answers must be found. */
  readonly control?: boolean;
  readonly say?: (line: string) => void;
}

/** A part of a run. */
interface RaceFigures {
  readonly lookups: number;
  readonly hits: number;
  readonly semanticHits: number;
  /** Cached answers about another topic than was asked for. */
  readonly otherEntity: readonly string[];
  /** The same of answers that no cache gave: retrieval's. */
  readonly retrievedOther: number;
  readonly changes: number;
  /** Answers older than what had been acknowledged before they were asked for, and questions that found nothing. */
  readonly stale: readonly string[];
  /** From the acknowledged write until every live reader has passed it, vectors included. */
  readonly fanOutP50Ms: number;
  readonly fanOutP99Ms: number;
  readonly lookupP99Ms: number;
  /** Of this machine, by all that runs on it. */
  readonly coresBusy: number;
}

export interface StaleFigures extends RaceFigures {
  readonly killedInvalidators: number;
  readonly killedIndexers: number;
  /** A quarter as many look-ups before anybody is killed. */
  readonly calm: RaceFigures;
}

const TENANT = "stale";
const WORDINGS: readonly ((topic: string) => string)[] = [
  (topic) => `Which version has the ${topic}?`,
  (topic) => `What version does the ${topic} have?`,
  (topic) => `Tell me which version the ${topic} has`,
  (topic) => `Which version of the ${topic} is there now?`,
  (topic) => `Please say what version the ${topic} has`,
];
/** So many that words seldom share one: a model that cannot tell topics apart would prove nothing of the cache. */
const DIMENSIONS = 1_024;
/** Four a host: they fill two cores, so a change also waits for its turn behind them. */
const IN_FLIGHT = 12;
/** Tells only what hangs from what works: how long it takes is a figure of the run. */
const INDEX_WAIT_MS = 60_000;
/** Look-ups between two changes, and at most so many while one is on its way: without changes nothing races. */
const PER_CHANGE = 40;
class Host {
  readonly #waiting = new Map<number, (looked: Looked) => void>();
  readonly process: ChildProcess;

  constructor(child: ChildProcess) {
    this.process = child;
    child.on("message", (looked: Looked | string) => {
      if (typeof looked === "string") return;
      this.#waiting.get(looked.id)?.(looked);
      this.#waiting.delete(looked.id);
    });
  }

  look(look: Look): Promise<Looked> {
    return new Promise((resolve) => {
      this.#waiting.set(look.id, resolve);
      this.process.send(look);
    });
  }
}

type Consumer = "indexer" | "invalidator";
const CONSUMERS: readonly Consumer[] = ["indexer", "invalidator"];

/** A process that has loaded the modules of its role. */
async function load(role: CacheRole): Promise<ChildProcess> {
  const child = fork(fileURLToPath(new URL("cache-process.ts", import.meta.url)), [role], {
    execArgv: ["--conditions=jetclaw-src"],
  });
  if (child.pid !== undefined) child.once("exit", endWithUs(child.pid));
  await said(child, "loaded");
  return child;
}

async function begin(child: ChildProcess, orders: Orders): Promise<ChildProcess> {
  const ready = said(child, "ready");
  child.send(orders);
  await ready;
  return child;
}

function said(child: ChildProcess, word: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.on("message", (message) => message === word && resolve());
    child.once("exit", (code) => reject(new Error(`a process ended with ${code} before it was ${word}`)));
  });
}

/**
 * Two of each, of which one is left: without any, a change is everywhere only when a process has started. A killed one's
 * place is taken by a process that has loaded its modules, as an orchestrator keeps them,
 * and the next one is loaded beside. Nobody waits for either.
 */
class Killed {
  readonly #servers: Orders;
  readonly #children = new Map<ChildProcess, Consumer>();
  /** One of each waits for another one to be killed. */
  readonly #spares = new Map<Consumer, Promise<ChildProcess>>();
  #ended = false;
  readonly kills = { indexer: 0, invalidator: 0 };

  constructor(servers: Orders) {
    this.#servers = servers;
  }

  async start(count: number): Promise<void> {
    for (const role of CONSUMERS) this.#spares.set(role, load(role));
    const starting = Array.from({ length: count }, () =>
      CONSUMERS.map((role) => this.#fill(role, load(role))),
    );
    await Promise.all([...starting.flat(), ...this.#spares.values()]);
  }

  kill(random: Random): void {
    const roles = [...this.#children.values()];
    const choice = [...this.#children].filter(([, role]) => roles.filter((each) => each === role).length > 1);
    if (choice.length === 0) return;
    const [child, role] = random.pick(choice);
    this.#children.delete(child);
    child.kill("SIGKILL");
    this.kills[role]++;
    // The run may be over by then, and its server with it.
    void this.#fill(role, this.#spares.get(role) ?? load(role)).catch(() => {});
    this.#spares.set(role, load(role));
  }

  end(): void {
    this.#ended = true;
    for (const child of this.#children.keys()) child.kill("SIGKILL");
    for (const spare of this.#spares.values())
      spare.then(
        (child) => child.kill("SIGKILL"),
        () => {},
      );
  }

  async #fill(role: Consumer, loading: Promise<ChildProcess>): Promise<void> {
    const child = await loading;
    await begin(child, this.#servers);
    if (this.#ended) child.kill("SIGKILL");
    else this.#children.set(child, role);
  }
}

/** Milliseconds that all cores have worked. */
const workedMs = (): number =>
  cpus().reduce((sum, { times: { user, nice, sys, irq } }) => sum + user + nice + sys + irq, 0);

const percentile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? 0;

export async function runStale(options: StaleOptions): Promise<StaleFigures> {
  const { seed, lookups, killEvery, say = () => {} } = options;
  const nats = await startTestNats();
  const model = await embeddingModel(DIMENSIONS);
  const bus = await connectBus({ servers: nats.url, name: "stale", log: silentLog });
  await provision(bus, { shards: 1, pools: [] });
  const store = createKnowledgeStore(bus, systemClock);
  const hosts: Host[] = [];
  const servers = { servers: nats.url, embeddings: model.baseUrl };
  const consumers = new Killed(servers);
  const role = options.control ? "control" : "host";
  try {
    const started = Array.from({ length: options.hosts }, async () => begin(await load(role), servers));
    for (const host of await Promise.all(started)) hosts.push(new Host(host));
    await consumers.start(2);
    const race = new Race({ random: randomOf(seed), store, hosts, say });
    await race.begin();
    const calm = await race.run(Math.ceil(lookups / 4));
    const figures = await race.run(lookups, { every: killEvery, kill: (random) => consumers.kill(random) });
    const { indexer, invalidator } = consumers.kills;
    return { ...figures, killedIndexers: indexer, killedInvalidators: invalidator, calm };
  } finally {
    for (const host of hosts) host.process.kill("SIGKILL");
    consumers.end();
    store.stop();
    await bus.close();
    await model.stop();
    await nats.stop();
  }
}

interface RaceParts {
  readonly random: Random;
  readonly store: ReturnType<typeof createKnowledgeStore>;
  readonly hosts: readonly Host[];
  readonly say: (line: string) => void;
}

class Race {
  readonly #parts: RaceParts;
  readonly #acknowledged = new Map<string, number>();
  #asked = 0;
  /** How many had been asked when the change under way began. */
  #changingSince: number | undefined;

  constructor(parts: RaceParts) {
    this.#parts = parts;
  }

  async begin(): Promise<void> {
    for (const topic of TOPICS) await this.#change(topic);
  }

  async run(
    lookups: number,
    killing?: { readonly every: number; readonly kill: (random: Random) => void },
  ): Promise<RaceFigures> {
    const { random, hosts, say } = this.#parts;
    const [first, startedAt, worked] = [this.#asked, performance.now(), workedMs()];
    const end = first + lookups;
    const fanOuts: number[] = [];
    const taken: number[] = [];
    const stale: string[] = [];
    const otherEntity: string[] = [];
    let [hits, semanticHits, retrievedOther] = [0, 0, 0];

    const look = async (): Promise<void> => {
      while (this.#asked < end) {
        if (this.#asked - (this.#changingSince ?? this.#asked) >= PER_CHANGE) {
          await systemClock.sleep(2);
          continue;
        }
        const id = this.#asked++;
        const topic = random.pick(TOPICS) as string;
        const question = (random.pick(WORDINGS) as (topic: string) => string)(topic);
        const floors = new Map(this.#acknowledged);
        const { text, level, ms } = await (random.pick(hosts) as Host).look({ id, question });
        taken.push(ms);
        if (level) hits++;
        if (level === "semantic") semanticHits++;
        const [, about = "", version = "-1"] = /The (\w+) has version (\d+)/.exec(text) ?? [];
        if (about !== topic && level) otherEntity.push(`${level}: "${question}" got "${text}"`);
        else if (about !== topic) retrievedOther++;
        if (about === "") stale.push(`nothing found for "${question}", got "${text}"`);
        else if (Number(version) < (floors.get(about) ?? 0))
          stale.push(`${about}: ${version} < ${floors.get(about)}, ${level ?? "retrieved"}`);
      }
    };
    /** Does something each time so many look-ups have passed. */
    const every = async (count: number | (() => number), act: () => Promise<void>): Promise<void> => {
      const after = (): number => this.#asked + (typeof count === "number" ? count : count());
      for (let next = after(); this.#asked < end; next = after()) {
        while (this.#asked < Math.min(next, end)) await systemClock.sleep(2);
        if (this.#asked < end) await act();
      }
    };
    await Promise.all([
      ...Array.from({ length: IN_FLIGHT }, look),
      every(PER_CHANGE, async () => void fanOuts.push(await this.#change(random.pick(TOPICS) as string))),
      ...(killing
        ? [
            every(
              () => random.int(1, 2 * killing.every),
              async () => killing.kill(random),
            ),
          ]
        : []),
      every(2_000, async () =>
        say(`${this.#asked} look-ups, ${hits} hits, ${fanOuts.length} changes, ${stale.length} stale`),
      ),
    ]);
    return {
      lookups,
      hits,
      semanticHits,
      otherEntity,
      retrievedOther,
      changes: fanOuts.length,
      stale,
      fanOutP50Ms: percentile(fanOuts, 0.5),
      fanOutP99Ms: percentile(fanOuts, 0.99),
      lookupP99Ms: percentile(taken, 0.99),
      coresBusy: (workedMs() - worked) / (performance.now() - startedAt),
    };
  }

  /** @returns milliseconds of the fan-out */
  async #change(topic: string): Promise<number> {
    const { store } = this.#parts;
    const version = (this.#acknowledged.get(topic) ?? -1) + 1;
    const text = `The ${topic} has version ${version}.`;
    this.#changingSince = this.#asked;
    const { revision } = await store.put(TENANT, "c", topic, { title: topic, text, locale: "en" });
    const startedAt = performance.now();
    if (!(await store.waitIndexed(revision, INDEX_WAIT_MS)))
      throw new Error(`${topic} is not indexed in time`);
    const took = performance.now() - startedAt;
    this.#acknowledged.set(topic, version);
    this.#changingSince = undefined;
    return took;
  }
}
