// What was seen from outside while a cluster ran, as one list of events. Clients, the channel's reader, the state
// follower and the model's bill write it; the checker reads nothing else.

export interface SessionRef {
  readonly tenant: string;
  readonly session: string;
}

/** A client is about to publish a message; repeated under the same id when the outcome was unknown. */
export interface Invoked extends SessionRef {
  readonly type: "invoke";
  readonly message: string;
  readonly text: string;
  readonly at: number;
}
/** `ok`: acknowledged. `fail`: surely not stored. `unknown`: a time-out, it may have been stored. */
export interface Completed extends SessionRef {
  readonly type: "ok" | "fail" | "unknown";
  readonly message: string;
  readonly at: number;
}
/** A revision of an actor's state in KV. */
export interface Committed extends SessionRef {
  readonly type: "commit";
  readonly revision: number;
  /** The last closed turn as this state knows it. */
  readonly closed: number;
  /** Ids of the effects this revision promises: appended records, jobs, messages and schedules. */
  readonly effects: readonly string[];
  readonly at: number;
}
/** An effect reached its subject; once for each time it was published, and once more for finding it stored. */
export interface Published {
  readonly type: "effect";
  readonly id: string;
  readonly what: "record" | "job" | "message" | "timer";
  readonly stored?: boolean;
  readonly at: number;
}
/** A record of TURNS as a channel's sender reads it. */
export interface Delivered extends SessionRef {
  readonly type: "record";
  readonly delivery: string;
  readonly turn: number;
  readonly messages: readonly { readonly id: string; readonly text: string }[];
  readonly reply: string;
  readonly outcome: string;
  readonly at: number;
}
/** A model was asked: everything it was shown. */
export interface Asked extends SessionRef {
  readonly type: "job";
  readonly job: string;
  readonly turn: number;
  readonly shown: string;
  readonly at: number;
}
/** An attempt of a job came to its end and its result was sent. */
export interface Executed extends SessionRef {
  readonly type: "result";
  readonly job: string;
  readonly turn: number;
  readonly attempt: number;
  readonly at: number;
}
/** A model's provider charges for a whole answer. */
export interface Billed {
  readonly type: "billed";
  readonly job: string;
  readonly at: number;
}
/** What the queues held when the run was over. */
export interface Settled {
  readonly type: "settled";
  readonly queues: Readonly<Record<string, number>>;
  readonly at: number;
}

export type HistoryEvent =
  | Invoked
  | Completed
  | Committed
  | Published
  | Delivered
  | Asked
  | Executed
  | Billed
  | Settled;

/** Who said a text travels inside the text, so that a leak shows wherever the text turns up. */
export function markerOf(tenant: string, session: string, message: string): string {
  return `[[${tenant}|${session}|${message}]]`;
}

/** A marker that was cut off is none: what follows the cut may complete it to one that nobody wrote. */
export function markersIn(text: string): (SessionRef & { readonly message: string })[] {
  return [...text.matchAll(/\[\[([\w-]+)\|([\w-]+)\|([\w-]+)\]\]/g)].map(([, tenant, session, message]) => ({
    tenant: tenant as string,
    session: session as string,
    message: message as string,
  }));
}

export const nameOf = ({ tenant, session }: SessionRef): string => `${tenant}/${session}`;
