/** Roles say that they live, over core NATS; whoever cares keeps the recent ones. Never proof of ownership. */
import { hostname } from "node:os";
import { decode, encode } from "#contracts/codec.ts";
import { LIMITS } from "#contracts/limits.ts";
import { CORE } from "#contracts/subjects.ts";
import { type Bus, NO_DATA } from "../nats/connect.ts";
import { untilPulse } from "../pulse.ts";

export interface Beat {
  readonly role: string;
  readonly instance: string;
  /** Host name of the machine and process id, for the operator. */
  readonly where: string;
  readonly startedAt: number;
  /** By its own clock; older processes do not say it. */
  readonly sentAt?: number;
  readonly draining: boolean;
  /** It says so this often; heard no more for four times as long, it counts as gone. */
  readonly everyMs: number;
  /** Bounded figures and names of the role: pool, slots, partitions, position ... */
  readonly info: Readonly<Record<string, string | number>>;
}

/**
 * Sends a beat now, every interval, and to everyone who calls the roll, until stopped; the last one says that the role
 * is gone. `everyMs` is asked before each wait, so that a role with nothing to tell may speak seldom. `now` is for news
 * that somebody waits for: it is written at once, not after the rest of the turn.
 */
export function announce(
  bus: Bus,
  who: Pick<Beat, "role" | "instance">,
  info: () => Beat["info"],
  draining: () => boolean,
  everyMs: () => number = () => LIMITS.heartbeatMs,
): { now(): void; stop(): void } {
  const subject = CORE.roleHeartbeat(who.role);
  const beat = { ...who, where: `${hostname()}/${process.pid}`, startedAt: Date.now() };
  let timer: NodeJS.Timeout | undefined;
  let isGone = false;
  const send = (gone = false): void => {
    // Whoever is still asked something after its end would else be counted among the living for good.
    if (isGone) return;
    isGone = gone;
    const next = everyMs();
    if (bus.connected)
      bus.publish(
        subject,
        encode({
          ...beat,
          sentAt: Date.now(),
          draining: draining(),
          info: info(),
          everyMs: next,
          ...(gone ? { gone } : {}),
        }),
      );
    clearTimeout(timer);
    if (!gone) timer = setTimeout(send, next > LIMITS.heartbeatMs ? untilPulse(next) : next);
  };
  send();
  const rollCall = bus.subscribe(CORE.rollCall, () => send());
  return {
    now() {
      send();
      bus.writes.now();
    },
    stop() {
      rollCall.stop();
      send(true);
    },
  };
}

/** Beats are missed, not one but several, before somebody counts as gone. */
const MISSED_BEATS = LIMITS.suspectMs / LIMITS.heartbeatMs;

export class Presence {
  readonly #seen = new Map<string, { beat: Beat; at: number; aheadMs: number }>();
  readonly #stop: () => void;
  readonly #onBeat: ((beat: Beat) => void) | undefined;

  constructor(bus: Bus, role = "*", onBeat?: (beat: Beat) => void) {
    this.#onBeat = onBeat;
    this.#stop = bus.subscribe(CORE.roleHeartbeat(role), ({ data }) =>
      this.#receive(decode<Beat & { gone?: boolean }>(data)),
    ).stop;
    if (bus.connected) bus.publish(CORE.rollCall, NO_DATA);
  }

  #receive(beat: Beat & { gone?: boolean }): void {
    // Placement and the readers of knowledge beat on neighbouring subjects, in shapes of their own.
    if (typeof beat.role !== "string" || beat.info === undefined) return;
    if (beat.gone) this.#seen.delete(`${beat.role}/${beat.instance}`);
    else {
      const aheadMs = (beat.sentAt ?? Date.now()) - Date.now();
      this.#seen.set(`${beat.role}/${beat.instance}`, { beat, at: performance.now(), aheadMs });
    }
    this.#onBeat?.(beat);
  }

  /** Who was heard lately. */
  live(): Beat[] {
    const now = performance.now();
    for (const [id, { beat, at }] of this.#seen)
      if (now - at > MISSED_BEATS * (beat.everyMs ?? LIMITS.heartbeatMs)) this.#seen.delete(id);
    return [...this.#seen.values()].map(({ beat }) => beat);
  }

  /** How far the clock of each process is ahead of ours, as far as a message's way lets it be told. */
  clocks(): { where: string; aheadMs: number }[] {
    return [...this.#seen.values()].map(({ beat, aheadMs }) => ({ where: beat.where, aheadMs }));
  }

  stop(): void {
    this.#stop();
  }
}
