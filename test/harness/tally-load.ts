// Writes to tallies and judges what they wrote down: each name once, in the order in which it was acknowledged, and none
// of a timer that was replaced.
import { routeOf } from "#contracts/subjects.ts";
import { readActorState, tellActor } from "#runtime/actor/client.ts";
import { systemClock } from "#runtime/clock.ts";
import type { Cluster } from "./cluster.ts";
import { pause } from "./wait.ts";

const TENANT = "tenant-0";
const KIND = "tally";
const RETRY_MS = 200;

export class TallyLoad {
  readonly #cluster: Cluster;
  readonly #keys: readonly string[];
  readonly #acked = new Map<string, string[]>();
  /** Names of timers that are set and not replaced. */
  readonly #due = new Map<string, Set<string>>();
  readonly #zombies = new Set<string>();
  #running: Promise<unknown> = Promise.resolve();
  #stopped = false;
  #count = 0;

  constructor(cluster: Cluster, keys: number) {
    this.#cluster = cluster;
    this.#keys = Array.from({ length: keys }, (_, n) => `tally-${n}`);
  }

  get keys(): readonly string[] {
    return this.#keys;
  }

  get acknowledged(): number {
    return [...this.#acked.values()].reduce((sum, { length }) => sum + length, 0);
  }

  start(everyMs: number): void {
    this.#running = Promise.all(
      this.#keys.map(async (key) => {
        while (!this.#stopped) {
          await this.add(key);
          await pause(everyMs);
        }
      }),
    );
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async add(key: string): Promise<void> {
    const name = `n${++this.#count}`;
    await this.tell(key, "add", { name }, name);
    const acked = this.#acked.get(key) ?? [];
    this.#acked.set(key, acked);
    acked.push(name);
  }

  /** Sets a timer; the name of the one it replaces must never be written down from now on. */
  async later(key: string, afterMs: number): Promise<void> {
    const name = `t${++this.#count}`;
    const due = this.#due.get(key) ?? new Set();
    await this.tell(key, "later", { timer: "one", afterMs, name }, name);
    for (const replaced of due) this.#zombies.add(`${key}/${replaced}`);
    this.#due.set(key, new Set([name]));
  }

  /** Resolves when the message is stored; an unknown outcome is asked again under the same id. */
  async tell(key: string, type: string, body: unknown, id: string): Promise<void> {
    for (;;) {
      try {
        await tellActor(this.#cluster.bus, systemClock, { kind: KIND, tenant: TENANT, key }, type, body, {
          id,
        });
        return;
      } catch {
        await pause(RETRY_MS);
      }
    }
  }

  /** What does not hold, each a sentence. */
  async judge(): Promise<string[]> {
    const broken: string[] = [];
    for (const key of this.#keys) {
      const route = routeOf({ kind: KIND, tenant: TENANT, key });
      const state = await readActorState<{ names: string[] }>(
        this.#cluster.bus,
        this.#cluster.deployment,
        route,
      );
      const names = state?.names ?? [];
      const acked = this.#acked.get(key) ?? [];
      const added = names.filter((name) => name.startsWith("n"));
      if (added.join() !== acked.join()) broken.push(difference(key, acked, added));
      for (const name of this.#due.get(key) ?? [])
        if (names.filter((each) => each === name).length !== 1)
          broken.push(`the timer ${name} of ${key} did not fire exactly once`);
      for (const name of names)
        if (this.#zombies.has(`${key}/${name}`)) broken.push(`the replaced timer ${name} of ${key} fired`);
    }
    return broken;
  }
}

function difference(key: string, acked: readonly string[], added: readonly string[]): string {
  const lost = acked.filter((name) => !added.includes(name)).length;
  const doubled = added.length - new Set(added).size;
  return `${key}: ${acked.length} acknowledged, ${added.length} written down, ${lost} lost, ${doubled} doubled`;
}
