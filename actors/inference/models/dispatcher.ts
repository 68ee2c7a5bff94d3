/**
 * A time-out for connecting alone: `fetch` has none, and a machine that is gone is known long before the patience for
 * a first token ends. Node's own HTTP client offers it where its global dispatcher can be reached; elsewhere the first
 * token's time-out covers connecting too.
 */
const GLOBAL = Symbol.for("undici.globalDispatcher.1");
const CONNECT_MS = 3_000;

type AgentClass = new (options: { connect: { timeout: number } }) => object;

let agentClass: Promise<AgentClass | undefined> | undefined;

/** The first `fetch` makes Node load its HTTP client; a data URL needs no network. */
async function loadAgentClass(): Promise<AgentClass | undefined> {
  await fetch("data:,").catch(() => {});
  const dispatcher = (globalThis as Record<symbol, unknown>)[GLOBAL];
  const found = dispatcher instanceof Object ? dispatcher.constructor : undefined;
  return found?.name === "Agent" ? (found as AgentClass) : undefined;
}

/** A `fetch` that gives connecting up after a while, with connections of its own. */
export function connectingFetch(connectMs = CONNECT_MS): typeof fetch {
  let dispatcher: object | undefined;
  return async (input, init) => {
    agentClass ??= loadAgentClass();
    const Agent = await agentClass;
    if (Agent) dispatcher ??= new Agent({ connect: { timeout: connectMs } });
    return fetch(input, { ...init, ...(dispatcher ? { dispatcher } : {}) } as RequestInit);
  };
}
