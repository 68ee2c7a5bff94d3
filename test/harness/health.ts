// Whether a NATS cluster has healed: what its nodes say of themselves, and what its streams say of their replicas.
import type { Bus } from "#runtime/nats/connect.ts";
import { waitUntil } from "./wait.ts";

export interface Ailments {
  /** Why nothing can be said of single streams and consumers. */
  readonly whole?: string | undefined;
  /** `name: why` */
  readonly ill: readonly string[];
}

/** A part of what a server answers to `/healthz?details=true`. */
interface Ailment {
  readonly stream?: string;
  readonly consumer?: string;
  readonly error: string;
}

const PAUSE_MS = 100;
/** A server that shares its processor with others looks through hundreds of consumers. */
const PROBE_MS = 5_000;
const SHOWN = 8;
/** Before what is ill now and what was ill before may be told apart. */
const LOOKS_LEAST = 5;

/** What on a node is not up to date, as it says itself at its monitoring port. */
export async function ailmentsOf(node: string, url: string): Promise<Ailments> {
  const whole = (why: string): Ailments => ({ whole: `${node}: ${why}`, ill: [] });
  try {
    const answer = await fetch(`${url}/healthz?details=true`, { signal: AbortSignal.timeout(PROBE_MS) });
    if (answer.status === 200) return { ill: [] };
    const { errors = [] } = (await answer.json()) as { errors?: Ailment[] };
    const ofNode = errors.find(({ stream, consumer }) => !stream && !consumer);
    if (ofNode || errors.length === 0) return whole(ofNode?.error ?? `status ${answer.status}`);
    return {
      ill: errors.map(({ stream, consumer = "", error }) => `${node} ${stream} ${consumer}: ${error}`),
    };
  } catch (error) {
    return whole(error instanceof Error ? error.message : String(error));
  }
}

/** Streams without a leader, and replicas that are behind it. */
export async function replicasBehind(bus: Bus): Promise<Ailments> {
  const ill: string[] = [];
  try {
    for await (const { config, cluster } of bus.jsm.streams.list()) {
      // A single server has no cluster.
      if (cluster?.replicas && !cluster.leader) ill.push(`${config.name}: no leader`);
      for (const { name, current, offline } of cluster?.replicas ?? [])
        if (!current || offline) ill.push(`${config.name} on ${name}: not current`);
    }
    return { ill };
  } catch (error) {
    return { whole: error instanceof Error ? error.message : String(error), ill };
  }
}

/**
 * Resolves when everything was seen well, be it one after the other. A server that was not given the processor for two
 * seconds counts the leader of a group as lost: on a busy machine one of hundreds always is, for a moment, and all of
 * them are well together never.
 */
export async function nothingLasts(
  look: () => Promise<Ailments>,
  timeoutMs: number,
  what: string,
): Promise<void> {
  /** What was ill at each look so far; undefined while nothing can be said of single ones. */
  let ill: ReadonlyMap<string, string> | undefined;
  let [looks, last] = [0, ""];
  const well = async (): Promise<boolean> => {
    const { whole, ill: now } = await look();
    if (whole) {
      [ill, looks, last] = [undefined, 0, whole];
      return false;
    }
    const before = ill;
    const named = now.map((each) => [each.slice(0, each.indexOf(": ")), each] as const);
    ill = new Map(named.filter(([name]) => !before || before.has(name)));
    last = [...ill.values()].slice(0, SHOWN).join("; ");
    return ill.size === 0 && (now.length === 0 || ++looks >= LOOKS_LEAST);
  };
  await waitUntil(well, { timeoutMs, what, pollMs: PAUSE_MS }).catch((error: Error) => {
    throw new Error(`${error.message}: ${last}, ${ill?.size ?? "all"} in all`);
  });
}
