/**
 * Which hosts live, as one host hears it. Pure but for the clock it is given, which never jumps: a machine's wall clock
 * that is set must not kill anybody.
 */
import { LIMITS } from "#contracts/limits.ts";
import type { Member } from "./assign.ts";

/** What a host says of itself, every half heartbeat. */
export interface HostBeat {
  readonly instance: string;
  readonly weight: number;
  /** Of the document it knows: whoever knows an older one reads. */
  readonly revision?: number;
  /** Messages a second of its partitions; quiet ones are left out. */
  readonly load?: readonly (readonly [partition: number, perSecond: number])[];
  /** Partitions that it has taken. */
  readonly held: number;
  readonly gone?: boolean;
}

interface Heard {
  readonly weight: number;
  readonly held: number;
  readonly at: number;
  /** Since when it is heard without a break, and how long that must last before it is given anything. */
  readonly since: number;
  readonly settleMs: number;
}

/** A host that was never missed is given partitions when a beat or two have been heard. */
const SETTLE_MS = LIMITS.heartbeatMs;
/** A host that vanished and came back, doubled each time it does so again. */
const FIRST_RETURN_MS = 2_000;
const LONGEST_RETURN_MS = 60_000;
/** After so long without vanishing again a host is as good as new. */
const FORGIVEN_MS = 300_000;
/** Own beats come back through NATS. Missed for longer, it is this host that does not hear. */
const DEAF_MS = LIMITS.suspectMs / 2;

export class Membership {
  readonly #self: string;
  readonly #now: () => number;
  readonly #heard = new Map<string, Heard>();
  /** When a host was missed last, and how often in a row. */
  readonly #missed = new Map<string, { readonly at: number; readonly times: number }>();
  readonly #load = new Map<number, number>();
  #echoAt: number;
  #listeningSince: number;

  /** @param now ms of a clock that only goes forward */
  constructor(self: string, now: () => number) {
    this.#self = self;
    this.#now = now;
    this.#echoAt = now();
    this.#listeningSince = this.#echoAt;
  }

  /** Takes a beat in. @returns true when it changes what should be planned */
  hear(beat: HostBeat): boolean {
    const now = this.#now();
    for (const [partition, perSecond] of beat.load ?? []) this.#load.set(partition, perSecond);
    if (beat.instance === this.#self) {
      if (now - this.#echoAt > DEAF_MS) this.#listenAnew(now);
      this.#echoAt = now;
      return false;
    }
    const known = this.#heard.get(beat.instance);
    if (beat.gone) {
      this.#missed.delete(beat.instance);
      return this.#heard.delete(beat.instance);
    }
    this.#heard.set(beat.instance, {
      weight: beat.weight,
      held: beat.held,
      at: now,
      since: known?.since ?? now,
      settleMs: known?.settleMs ?? this.#settleMsOf(beat.instance, now),
    });
    return known?.weight !== beat.weight || known.held !== beat.held;
  }

  /** True when this host has heard for long enough, and still hears, to say who is gone. */
  get judges(): boolean {
    const now = this.#now();
    return now - this.#echoAt <= DEAF_MS && now - this.#listeningSince >= LIMITS.suspectMs;
  }

  /** Who lives: heard lately, and this host itself with the weight it has now. */
  members(ownWeight: number): Member[] {
    const now = this.#now();
    // What a host could not hear says nothing about the others.
    if (now - this.#echoAt <= DEAF_MS)
      for (const [instance, { at }] of this.#heard)
        if (now - at > LIMITS.suspectMs) {
          this.#heard.delete(instance);
          this.#missed.set(instance, { at: now, times: (this.#missed.get(instance)?.times ?? 0) + 1 });
        }
    for (const [instance, { at }] of this.#missed) if (now - at > FORGIVEN_MS) this.#missed.delete(instance);
    return [
      { instance: this.#self, weight: ownWeight, steady: now - this.#listeningSince >= SETTLE_MS },
      ...[...this.#heard].map(([instance, { weight, since, settleMs }]) => ({
        instance,
        weight,
        steady: now - since >= settleMs,
      })),
    ];
  }

  /** Messages a second of a partition, as its owner said last. */
  loadOf(partition: number): number {
    return this.#load.get(partition) ?? 0;
  }

  /** How many partitions a host holds, as it said last; undefined where it was not heard. */
  heldOf(instance: string): number | undefined {
    return this.#heard.get(instance)?.held;
  }

  #settleMsOf(instance: string, now: number): number {
    const missed = this.#missed.get(instance);
    if (!missed || now - missed.at > FORGIVEN_MS) return SETTLE_MS;
    return Math.min(LONGEST_RETURN_MS, FIRST_RETURN_MS * 2 ** (missed.times - 1));
  }

  /** Frozen, cut off or too busy to read: nobody is missed for what this host did not hear. */
  #listenAnew(now: number): void {
    this.#listeningSince = now;
    for (const [instance, heard] of this.#heard) this.#heard.set(instance, { ...heard, at: now });
  }
}
