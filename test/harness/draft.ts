// A draft and a message for tests of handlers without a host.
import { ENVELOPE_VERSION, type Envelope } from "#contracts/envelope.ts";
import { routeOf } from "#contracts/subjects.ts";
import { Draft, type DraftOptions } from "#runtime/actor/draft.ts";

export const ROUTE = routeOf({ kind: "counter", tenant: "demo", key: "a.b" });

export const messageOf = (type: string, change: Partial<Envelope> = {}): Envelope => ({
  v: ENVELOPE_VERSION,
  id: `${type}-1`,
  tenant: ROUTE.tenant,
  kind: ROUTE.kind,
  key: ROUTE.key,
  type,
  body: {},
  at: 1_000,
  ...change,
});

export const draftOf = (change: Partial<DraftOptions> = {}): Draft =>
  new Draft({
    route: ROUTE,
    shards: 4,
    state: {},
    revision: 7,
    now: 1_000,
    timers: {},
    trace: undefined,
    signal: new AbortController().signal,
    burst: [messageOf("go")],
    ...change,
  });
