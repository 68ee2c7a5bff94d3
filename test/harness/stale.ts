// Look-ups on several hosts racing with changes of documents, while the consumers of the changes are killed at random:
// after a change was acknowledged as indexed, no answer may be older than it.
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { createKnowledgeStore } from "#actors/knowledge/store.ts";
import { systemClock } from "#runtime/clock.ts";
import { connectBus } from "#runtime/nats/connect.ts";
import { provision } from "#runtime/nats/topology.ts";
import type { Look, Looked } from "./cache-process.ts";
import { silentLog } from "./knowledge.ts";
import { startTestNats } from "./nats.ts";
import { type Random, randomOf } from "./random.ts";
import { endWithUs } from "./reaping.ts";

export interface StaleOptions {
  readonly seed: number;
  readonly lookups: number;
  readonly hosts: number;
  /** A consumer is killed after so many look-ups, on average. */
  readonly killEvery: number;
  readonly say?: (line: string) => void;
}

export interface StaleFigures {
  readonly lookups: number;
  readonly hits: number;
  readonly semanticHits: number;
  /** Answers about something else than was asked: errors of the semantic level, or nothing retrieved. */
  readonly otherTopic: number;
  readonly changes: number;
  readonly kills: number;
  /** Answers older than what had been acknowledged before they were asked for. */
  readonly stale: readonly string[];
  readonly indexedP50Ms: number;
  readonly indexedP99Ms: number;
  readonly lookupP99Ms: number;
}

const TENANT = "stale";
const TOPICS = [
  "zebra",
  "walrus",
  "parrot",
  "salmon",
  "badger",
  "gibbon",
  "falcon",
  "lizard",
  "beaver",
  "donkey",
];
const WORDINGS: readonly ((topic: string) => string)[] = [
  (topic) => `Which version has the ${topic}?`,
  (topic) => `What version does the ${topic} have?`,
  (topic) => `Tell me which version the ${topic} has`,
  (topic) => `Which version of the ${topic} is there now?`,
  (topic) => `Please say what version the ${topic} has`,
];
const IN_FLIGHT = 12;
/** Look-ups between two changes. */
const PER_CHANGE = 40;

class Host {
  readonly #waiting = new Map<number, (looked: Looked) => void>();
  readonly process: ChildProcess;

  constructor(child: ChildProcess) {
    this.process = child;
    child.on("message", (looked: Looked | "ready") => {
      if (looked === "ready") return;
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

async function start(role: "host" | "invalidator", url: string): Promise<ChildProcess> {
  const child = fork(fileURLToPath(new URL("cache-process.ts", import.meta.url)), [role, url], {
    execArgv: ["--conditions=jetclaw-src"],
  });
  if (child.pid !== undefined) child.once("exit", endWithUs(child.pid));
  await new Promise<void>((resolve, reject) => {
    child.once("message", () => resolve());
    child.once("exit", (code) => reject(new Error(`${role} ended with ${code}`)));
  });
  return child;
}

/** Two of them; for a killed one another is started, and nobody waits for it: for a while one or none is at work. */
class Killed {
  readonly #url: string;
  readonly #children = new Set<ChildProcess>();
  #ended = false;
  kills = 0;

  constructor(url: string) {
    this.#url = url;
  }

  async start(count: number): Promise<void> {
    for (let n = 0; n < count; n++) this.#children.add(await start("invalidator", this.#url));
  }

  kill(random: Random): void {
    const alive = [...this.#children];
    if (alive.length === 0) return;
    const child = random.pick(alive);
    this.#children.delete(child);
    child.kill("SIGKILL");
    this.kills++;
    start("invalidator", this.#url).then(
      (next) => (this.#ended ? next.kill("SIGKILL") : this.#children.add(next)),
      // The run is over, and its server with it.
      () => {},
    );
  }

  end(): void {
    this.#ended = true;
    for (const child of this.#children) child.kill("SIGKILL");
  }
}

const percentile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? 0;

export async function runStale(options: StaleOptions): Promise<StaleFigures> {
  const { seed, lookups, say = () => {} } = options;
  const random = randomOf(seed);
  const nats = await startTestNats();
  const bus = await connectBus({ servers: nats.url, name: "stale", log: silentLog });
  await provision(bus, { shards: 1, pools: [] });
  const store = createKnowledgeStore(bus, systemClock);
  const hosts: Host[] = [];
  const consumers = new Killed(nats.url);
  try {
    for (let n = 0; n < options.hosts; n++) hosts.push(new Host(await start("host", nats.url)));
    await consumers.start(2);
    return await race({ ...options, random, store, hosts, consumers, say, lookups });
  } finally {
    for (const host of hosts) host.process.kill("SIGKILL");
    consumers.end();
    store.stop();
    await bus.close();
    await nats.stop();
  }
}

interface Race extends Omit<StaleOptions, "hosts"> {
  readonly random: Random;
  readonly store: ReturnType<typeof createKnowledgeStore>;
  readonly hosts: readonly Host[];
  readonly consumers: Killed;
}

async function race({
  random,
  store,
  hosts,
  consumers,
  lookups,
  killEvery,
  say = () => {},
}: Race): Promise<StaleFigures> {
  const acknowledged = new Map<string, number>();
  const indexed: number[] = [];
  const taken: number[] = [];
  const stale: string[] = [];
  let [asked, hits, semanticHits, otherTopic, changes] = [0, 0, 0, 0, 0];

  const change = async (topic: string): Promise<void> => {
    const version = (acknowledged.get(topic) ?? -1) + 1;
    const text = `The ${topic} has version ${version}.`;
    const { revision } = await store.put(TENANT, "c", topic, { title: topic, text, locale: "en" });
    const startedAt = performance.now();
    if (!(await store.waitIndexed(revision, 10_000))) throw new Error(`${topic} is not indexed in time`);
    indexed.push(performance.now() - startedAt);
    acknowledged.set(topic, version);
    changes++;
  };
  for (const topic of TOPICS) await change(topic);
  indexed.length = 0;

  const look = async (): Promise<void> => {
    while (asked < lookups) {
      const id = asked++;
      const topic = random.pick(TOPICS) as string;
      const question = (random.pick(WORDINGS) as (topic: string) => string)(topic);
      const floors = new Map(acknowledged);
      const { text, level, ms } = await (random.pick(hosts) as Host).look({ id, question });
      taken.push(ms);
      if (level) hits++;
      if (level === "semantic") semanticHits++;
      const [, about = "", version = "-1"] = /The (\w+) has version (\d+)/.exec(text) ?? [];
      // Another topic's answer is the semantic level's error, which its bound allows for; old text is nobody's.
      if (about !== topic) otherTopic++;
      if (Number(version) < (floors.get(about) ?? 0))
        stale.push(`${about}: ${version} < ${floors.get(about)}, ${level ?? "retrieved"}`);
    }
  };
  /** Does something each time so many look-ups have passed. */
  const every = async (count: number, act: () => Promise<void>): Promise<void> => {
    for (let next = count; asked < lookups; next = asked + count) {
      while (asked < Math.min(next, lookups)) await systemClock.sleep(2);
      if (asked < lookups) await act();
    }
  };
  await Promise.all([
    ...Array.from({ length: IN_FLIGHT }, look),
    every(PER_CHANGE, () => change(random.pick(TOPICS) as string)),
    every(killEvery, async () => consumers.kill(random)),
    every(2_000, async () =>
      say(
        `${asked} look-ups, ${hits} hits, ${changes} changes, ${consumers.kills} kills, ${stale.length} stale`,
      ),
    ),
  ]);
  return {
    lookups: asked,
    hits,
    semanticHits,
    otherTopic,
    changes,
    kills: consumers.kills,
    stale,
    indexedP50Ms: percentile(indexed, 0.5),
    indexedP99Ms: percentile(indexed, 0.99),
    lookupP99Ms: percentile(taken, 0.99),
  };
}
