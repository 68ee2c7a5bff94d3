/**
 * A circuit breaker: stops asking a service that fails, and lets one request find out whether it is back. Pure: state,
 * time and chance go in, the next state comes out. After M. Nygard, "Release It!" (2007), stability pattern Circuit Breaker.
 *
 *   closed ── 3 failures in a row, or half of the last 20 ──► open ── its time is over, one asks ──► half-open
 *      ▲                                                       ▲                                      │ │ │
 *      └── the probe succeeded ────────────────────────────────┼──────────────────────────────────────┘ │ │
 *                                      the probe failed: open for twice as long ◄───────────────────────┘ │
 *                                      the probe was called off: open, the next one may ask at once ◄─────┘
 */

export interface Breaker {
  readonly state: "closed" | "half-open" | "open";
  /** Changes with the state: what a request says that began in an earlier state counts for nothing. */
  readonly era: number;
  readonly failuresInRow: number;
  /** The last outcomes while closed, true for a failure. */
  readonly recent: readonly boolean[];
  /** Nobody asks before: while open its end, while half-open when its probe is given up. Ms since the epoch. */
  readonly until: number;
  /** How long it was open last time. */
  readonly openMs: number;
}

const IN_ROW = 3;
const WINDOW = 20;
/** So few outcomes are no share. */
const WINDOW_LEAST = 10;
const OPEN_FIRST_MS = 1_000;
const OPEN_MOST_MS = 30_000;
/** A probe that has not ended by then never will. */
const PROBE_MOST_MS = 60_000;

export const CLOSED: Breaker = {
  state: "closed",
  era: 0,
  failuresInRow: 0,
  recent: [],
  until: 0,
  openMs: 0,
};

/** From when on it may be asked. */
export const readyAt = ({ state, until }: Breaker): number => (state === "closed" ? 0 : until);

/** A request begins. @returns undefined when it must not */
export function admit(breaker: Breaker, now: number): Breaker | undefined {
  if (breaker.state === "closed") return breaker;
  if (readyAt(breaker) > now) return undefined;
  return { ...breaker, state: "half-open", era: breaker.era + 1, until: now + PROBE_MOST_MS };
}

export function succeed(breaker: Breaker, era: number): Breaker {
  if (era !== breaker.era) return breaker;
  if (breaker.state === "half-open") return { ...CLOSED, era: breaker.era + 1 };
  return { ...breaker, failuresInRow: 0, recent: noted(breaker.recent, false) };
}

/** `random` is a number in [0, 1): workers that saw the same failure do not come back together. */
export function fail(breaker: Breaker, era: number, now: number, random: number): Breaker {
  if (era !== breaker.era) return breaker;
  const failuresInRow = breaker.failuresInRow + 1;
  const recent = noted(breaker.recent, true);
  if (breaker.state === "closed" && failuresInRow < IN_ROW && !halfFailed(recent))
    return { ...breaker, failuresInRow, recent };
  const openMs = Math.min(OPEN_MOST_MS, Math.max(OPEN_FIRST_MS, breaker.openMs * 2));
  const until = now + openMs * (0.75 + random / 4);
  return { state: "open", era: breaker.era + 1, failuresInRow: 0, recent: [], until, openMs };
}

/** A request ended without saying anything about the model: stopped by its user, or refused for its content. */
export function callOff(breaker: Breaker, era: number, now: number): Breaker {
  if (era !== breaker.era || breaker.state !== "half-open") return breaker;
  return { ...breaker, state: "open", era: breaker.era + 1, until: now };
}

const noted = (recent: readonly boolean[], failed: boolean): readonly boolean[] => [
  ...recent.slice(1 - WINDOW),
  failed,
];

const halfFailed = (recent: readonly boolean[]): boolean =>
  recent.length >= WINDOW_LEAST && recent.filter((failed) => failed).length * 2 >= recent.length;
