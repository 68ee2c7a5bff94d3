/**
 * Which endpoint of a model serves a conversation: the one that served it last, because that server still holds its
 * prefix. Pure and without memory: rendezvous hashing names the same endpoint to every worker, and an endpoint that
 * comes or goes moves only the conversations that it gets or had.
 */
import { fnv1a } from "#contracts/ids.ts";
import type { Job } from "#contracts/job.ts";

export interface Endpoint {
  /** Stable over restarts, equal in all workers and its own: its address, with a number where an address comes twice. */
  readonly id: string;
}

/** How an endpoint stands now, as the worker that asks sees it. */
export interface EndpointLoad {
  /** Told to wait by the provider, or its breaker is open: asked only when nobody else is left. */
  readonly resting?: boolean | undefined;
  /** It runs as many requests as it takes. */
  readonly full?: boolean | undefined;
  /** Expected wait before it begins, ms. */
  readonly waitMs?: number | undefined;
}

/**
 * What a warm prefix saves, ms, where the caller does not know better: about a thousand tokens of prefill on a busy
 * GPU. A conversation leaves its endpoint when waiting there would cost more than this beyond the shortest wait.
 */
export const SAVES_MS = 250;

/** More of a message tells conversations hardly better apart. */
const KEY_CHARS = 1_000;

/**
 * What keeps its endpoint: a conversation of a tenant. A request without a conversation of ours is known by how its
 * messages begin, up to what the user said first: the next request of the same chat begins alike.
 */
export function affinityKey({ tenant, session, replyTo, messages }: KeyParts): string {
  // Ids hold no white space, so the space is unambiguous.
  if (!replyTo) return `${tenant} ${session}`;
  const beginning = messages.slice(0, messages.findIndex(({ role }) => role === "user") + 1);
  return [tenant, ...beginning.map(({ content }) => content.slice(0, KEY_CHARS))].join(" ");
}
type KeyParts = Pick<Job, "tenant" | "session" | "replyTo" | "messages">;

/**
 * All endpoints, the one to ask first in front: the conversation's own, unless it rests, is full, or its wait costs more
 * than it saves; then the next by the same hash, so that what overflows has a home too.
 */
export function orderEndpoints<E extends Endpoint>(
  endpoints: readonly E[],
  key: string,
  load: (endpoint: E) => EndpointLoad = () => ({}),
  savesMs: number = SAVES_MS,
): E[] {
  const ranked = endpoints
    .map((endpoint) => ({ endpoint, score: scoreOf(endpoint.id, key), ...standing(load(endpoint)) }))
    .sort((a, b) => a.trouble - b.trouble || b.score - a.score || byId(a.endpoint, b.endpoint));
  const [home] = ranked;
  if (!home) return [];
  const rivals = ranked.filter(({ trouble }) => trouble === home.trouble);
  const quickest = rivals.reduce((best, each) => (each.waitMs < best.waitMs ? each : best), home);
  const order = ranked.map(({ endpoint }) => endpoint);
  if (home.waitMs - quickest.waitMs <= savesMs) return order;
  return [quickest.endpoint, ...order.filter((endpoint) => endpoint !== quickest.endpoint)];
}

/** By code units: the same everywhere, whatever the language of the machine. */
const byId = (a: Endpoint, b: Endpoint): number => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);

function standing({ resting, full, waitMs }: EndpointLoad): { trouble: number; waitMs: number } {
  return { trouble: (resting ? 2 : 0) + (full ? 1 : 0), waitMs: waitMs ?? 0 };
}

/** FNV-1a leaves the last characters in the low bits; the finalizer of MurmurHash3 spreads them over all. */
function scoreOf(id: string, key: string): number {
  let h = fnv1a(`${id} ${key}`);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
