// Writes to tallies, sets and cancels their timers, and judges what they wrote down: each name once, in the order in
// which it was acknowledged, and of the timers those that were due and no others.
import { routeOf } from "#contracts/subjects.ts";
import { readActorState, tellActor } from "#runtime/actor/client.ts";
import { systemClock } from "#runtime/clock.ts";
import type { Cluster } from "./cluster.ts";
import type { Random } from "./random.ts";
import { CANCELLED, SET } from "./tally.ts";
import { pause } from "./wait.ts";

const TENANT = "tenant-0";
const KIND = "tally";
const RETRY_MS = 200;

export interface TallyLoadOptions {
  readonly keys: number;
  /** With timers: of ten messages three set one and two cancel it. */
  readonly timers?: { readonly random: Random; readonly mostMs: number };
}

export class TallyLoad {
  readonly keys: readonly string[];
  readonly #cluster: Cluster;
  readonly #timers: TallyLoadOptions["timers"];
  /** What each tally must have written down besides the timers that fired. */
  readonly #acked = new Map<string, string[]>();
  #running: Promise<unknown> = Promise.resolve();
  #stopped = false;
  #count = 0;

  constructor(cluster: Cluster, { keys, timers }: TallyLoadOptions) {
    this.#cluster = cluster;
    this.#timers = timers;
    this.keys = Array.from({ length: keys }, (_, n) => `tally-${n}`);
  }

  get acknowledged(): number {
    return [...this.#acked.values()].reduce((sum, { length }) => sum + length, 0);
  }

  start(everyMs: number): void {
    this.#running = Promise.all(
      this.keys.map(async (key) => {
        const random = this.#timers?.random.fork(key);
        while (!this.#stopped) {
          const draw = random?.int(1, 10) ?? 1;
          if (draw <= 5) await this.add(key);
          else if (draw <= 8) await this.later(key, random?.int(100, this.#timers?.mostMs ?? 100) ?? 100);
          else await this.never(key);
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
    this.#note(key, name);
  }

  /** Sets the timer anew. */
  async later(key: string, afterMs: number): Promise<void> {
    const name = `t${++this.#count}`;
    await this.tell(key, "later", { afterMs, name }, `later-${name}`);
    this.#note(key, SET + name);
  }

  /** Cancels the timer. */
  async never(key: string): Promise<void> {
    const name = `c${++this.#count}`;
    await this.tell(key, "never", { name }, name);
    this.#note(key, CANCELLED + name);
  }

  #note(key: string, entry: string): void {
    const acked = this.#acked.get(key);
    if (acked) acked.push(entry);
    else this.#acked.set(key, [entry]);
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

  /** What a tally has written down. */
  async read(key: string): Promise<readonly string[]> {
    const { bus, deployment } = this.#cluster;
    const route = routeOf({ kind: KIND, tenant: TENANT, key });
    return (await readActorState<{ names: string[] }>(bus, deployment, route))?.names ?? [];
  }

  /** What does not hold, each a sentence; to be asked when no timer is left. */
  async judge(): Promise<string[]> {
    const broken: string[] = [];
    for (const key of this.keys) {
      const names = await this.read(key);
      const acked = this.#acked.get(key) ?? [];
      const told = names.filter((name) => !name.startsWith("t"));
      if (told.join() !== acked.join()) broken.push(difference(key, acked, told));
      broken.push(...wrongTimers(key, names));
    }
    return broken;
  }
}

function difference(key: string, acked: readonly string[], told: readonly string[]): string {
  const lost = acked.filter((name) => !told.includes(name)).length;
  const doubled = told.length - new Set(told).size;
  return `${key}: ${acked.length} acknowledged, ${told.length} written down, ${lost} lost, ${doubled} doubled`;
}

/** The list itself tells the order: between being set and firing once, a timer was neither replaced nor cancelled. */
export function wrongTimers(key: string, names: readonly string[]): string[] {
  const broken: string[] = [];
  let due: string | undefined;
  for (const name of names) {
    if (name.startsWith(SET)) due = name.slice(SET.length);
    else if (name.startsWith(CANCELLED)) due = undefined;
    else if (name.startsWith("t")) {
      if (name !== due) broken.push(`${key}: the timer ${name} fired and was not due, a zombie`);
      due = undefined;
    }
  }
  return due === undefined ? broken : [...broken, `${key}: the timer ${due} never fired`];
}
