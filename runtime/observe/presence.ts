/** Roles say that they live, over core NATS; whoever cares keeps the recent ones. Never proof of ownership. */
import { decode, encode } from "#contracts/codec.ts";
import { LIMITS } from "#contracts/limits.ts";
import { CORE } from "#contracts/subjects.ts";
import type { Bus } from "../nats/connect.ts";

export interface Beat {
  readonly role: string;
  readonly instance: string;
  /** Host name of the machine and process id, for the operator. */
  readonly where: string;
  readonly startedAt: number;
  readonly draining: boolean;
  /** Bounded figures and names of the role: pool, slots, partitions, position ... */
  readonly info: Readonly<Record<string, string | number>>;
}

/** Sends a beat now and every interval until stopped; the last one says that the role is gone. */
export function announce(
  bus: Bus,
  beat: Omit<Beat, "draining" | "info">,
  info: () => Beat["info"],
  draining: () => boolean,
): { now(): void; stop(): void } {
  const subject = CORE.roleHeartbeat(beat.role);
  const send = (gone = false): void => {
    if (bus.connected)
      bus.publish(
        subject,
        encode({ ...beat, draining: draining(), info: info(), ...(gone ? { gone } : {}) }),
      );
  };
  send();
  const timer = setInterval(send, LIMITS.heartbeatMs);
  return {
    now: () => send(),
    stop() {
      clearInterval(timer);
      send(true);
    },
  };
}

export class Presence {
  readonly #seen = new Map<string, { beat: Beat; at: number }>();
  readonly #stop: () => void;
  readonly #onBeat: ((beat: Beat) => void) | undefined;

  constructor(bus: Bus, role = "*", onBeat?: (beat: Beat) => void) {
    this.#onBeat = onBeat;
    this.#stop = bus.subscribe(CORE.roleHeartbeat(role), ({ data }) =>
      this.#receive(decode<Beat & { gone?: boolean }>(data)),
    ).stop;
  }

  #receive(beat: Beat & { gone?: boolean }): void {
    // Placement and the readers of knowledge beat on neighbouring subjects, in shapes of their own.
    if (typeof beat.role !== "string" || beat.info === undefined) return;
    if (beat.gone) this.#seen.delete(`${beat.role}/${beat.instance}`);
    else this.#seen.set(`${beat.role}/${beat.instance}`, { beat, at: Date.now() });
    this.#onBeat?.(beat);
  }

  /** Who was heard lately. */
  live(): Beat[] {
    const oldest = Date.now() - LIMITS.suspectMs;
    for (const [id, { at }] of this.#seen) if (at < oldest) this.#seen.delete(id);
    return [...this.#seen.values()].map(({ beat }) => beat);
  }

  stop(): void {
    this.#stop();
  }
}
