/** Stops that users ask for: one subscription a worker, and the running attempts that listen. */
import { decodeUntrusted } from "#contracts/codec.ts";
import { tokenOf } from "#contracts/ids.ts";
import { CORE } from "#contracts/subjects.ts";
import type { Bus } from "#runtime/nats/connect.ts";

interface Listener {
  readonly turn: number;
  readonly stop: () => void;
}

/** A stop is tiny; anything larger is not one. */
const STOP_BYTES = 1_024;
/** Stops that came before their job did: a stop and a job can arrive in one packet. */
const EARLY_STOPS = 1_024;

export class Stops {
  readonly #listeners = new Map<string, Set<Listener>>();
  /** Sessions and turns whose stop found nobody; the oldest go first. */
  readonly #early = new Set<string>();
  readonly #subscription: { stop(): void };

  constructor(bus: Pick<Bus, "subscribe">) {
    this.#subscription = bus.subscribe(CORE.controlAll, ({ subject, data }) => {
      const key = subject.slice(subject.indexOf(".") + 1);
      const listeners = this.#listeners.get(key);
      const turn = turnOf(data);
      if (!listeners) return this.#remember(key, turn);
      for (const listener of [...listeners])
        if (turn === undefined || turn === listener.turn) listener.stop();
    });
  }

  /** Calls back when the session, or this turn of it, is stopped. @returns the function that stops listening */
  listen(tenant: string, session: string, turn: number, stop: () => void): () => void {
    const key = `${tokenOf(tenant)}.${tokenOf(session)}`;
    const listener: Listener = { turn, stop };
    const listeners = this.#listeners.get(key) ?? new Set();
    listeners.add(listener);
    this.#listeners.set(key, listeners);
    if (this.#early.delete(`${key} ${turn}`)) stop();
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(key) === listeners) this.#listeners.delete(key);
    };
  }

  /** Without a turn a stop means what runs now, and nothing does. */
  #remember(key: string, turn: number | undefined): void {
    if (turn === undefined) return;
    this.#early.add(`${key} ${turn}`);
    if (this.#early.size <= EARLY_STOPS) return;
    for (const oldest of this.#early) {
      this.#early.delete(oldest);
      break;
    }
  }

  close(): void {
    this.#subscription.stop();
  }
}

/** The turn that a stop names; undefined, also for a body that cannot be read, means whatever runs. */
function turnOf(data: Uint8Array): number | undefined {
  if (data.length === 0) return undefined;
  try {
    const body = decodeUntrusted<{ turn?: unknown } | null>(data, STOP_BYTES);
    return typeof body?.turn === "number" ? body.turn : undefined;
  } catch {
    return undefined;
  }
}
