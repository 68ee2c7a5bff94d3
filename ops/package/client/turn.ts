/** One message and its answer: sent at once, read by whoever iterates or asks for the reply, any number of times. */
import type { Answer } from "#contracts/turn.ts";
import { type Http, JetclawClientError } from "./http.ts";
import { followEvents, type TurnEvent } from "./stream.ts";

/** The answer as it comes. Iterate for the events, `reply()` for the whole. */
export interface Turn extends AsyncIterable<TurnEvent> {
  /** Id of the message: sending it again gets the same turn. */
  readonly id: string;
  /** @throws JetclawClientError, or the signal's reason. The turn itself goes on when the wait ends. */
  reply(): Promise<Answer>;
}

export interface Outgoing {
  readonly session: string;
  readonly id: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly signal: AbortSignal;
}

export class SentTurn implements Turn {
  readonly id: string;
  readonly #events: TurnEvent[] = [];
  readonly #reply: Promise<Answer>;
  /** Wakes whoever iterates: an event came, or none will come any more. */
  #changed = Promise.withResolvers<void>();
  #ended = false;

  constructor(http: Http, outgoing: Outgoing) {
    this.id = outgoing.id;
    this.#reply = this.#run(http, outgoing).finally(() => {
      this.#ended = true;
      this.#changed.resolve();
    });
    // The failure is told to whoever asks; nobody asking is no unhandled rejection.
    this.#reply.catch(() => {});
  }

  async #run(http: Http, { session, id, body, signal }: Outgoing): Promise<Answer> {
    let turn: number | undefined;
    const events = followEvents({
      signal,
      // The message has an id, so sending it again before its turn is known is harmless.
      open: (lastEventId, joined) =>
        lastEventId === undefined
          ? http.call(["conversations", session, "messages"], {
              method: "POST",
              body: { ...body, id },
              headers: { accept: "text/event-stream" },
              signal: joined,
            })
          : http.call(["conversations", session, "events"], {
              headers: { accept: "text/event-stream", "last-event-id": lastEventId },
              signal: joined,
            }),
    });
    for await (const event of events) {
      turn ??= event.turn;
      // A stream that was resumed is the session's: it tells of other turns too.
      if (event.turn !== turn) continue;
      this.#events.push(event);
      this.#changed.resolve();
      this.#changed = Promise.withResolvers();
      if (event.type === "done" && event.answer) return event.answer;
    }
    throw new JetclawClientError({
      code: "client.unexpected",
      title: "The stream ended without an answer.",
      status: 0,
    });
  }

  reply(): Promise<Answer> {
    return this.#reply;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TurnEvent> {
    for (let next = 0; ; ) {
      const event = this.#events[next];
      if (event) {
        next++;
        yield event;
      } else if (this.#ended) {
        await this.#reply;
        return;
      } else await this.#changed.promise;
    }
  }
}
