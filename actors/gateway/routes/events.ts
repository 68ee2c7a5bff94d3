/** The events of a session as one stream that any gateway can resume. */
import type { FastifyReply } from "fastify";
import { z } from "zod";
import type { Conversations } from "#actors/conversation/port.ts";
import { JetclawError } from "#contracts/errors.ts";
import { parseEventId, type StreamEvent } from "#contracts/turn.ts";
import { callerOf, requireScope } from "../auth.ts";
import { sessionParams } from "../input.ts";
import { traceIdOf } from "../observe.ts";
import { endOfTurn, OrderedEvents, type Position } from "../ordered-events.ts";
import type { GatewayParts, Routes } from "../parts.ts";
import { problemOf, problemSchema } from "../problems.ts";
import { type SseStream, sendEvent } from "../sse.ts";

/** The longest pause between two looks into the store for an open turn that went quiet. */
const LONGEST_PAUSE_MS = 60_000;

export const eventRoutes: Routes = (app, parts) => {
  requireScope(app, "chat");

  app.get(
    "/conversations/:session/events",
    {
      // A stream has no head of its own.
      exposeHeadRoute: false,
      schema: {
        tags: ["conversations"],
        summary: "Events of a session",
        description:
          "Server-sent events turn, delta, restart, done. `Last-Event-ID: turn.attempt.number` resumes after that event; `0.0.0` gives everything that is kept, and so does a turn that the conversation has not come to. Without it the stream begins now.",
        params: sessionParams,
        headers: z.object({ "last-event-id": z.string().max(64).optional() }),
        response: {
          200: { description: "The events", content: { "text/event-stream": { schema: z.string() } } },
          "4xx": problemSchema,
        },
      },
    },
    async (request, reply) => {
      const { tenant } = callerOf(request);
      const { session } = request.params;
      const lastEventId = request.headers["last-event-id"];
      const after = lastEventId ? parseEventId(lastEventId) : undefined;
      if (lastEventId && !after)
        throw new JetclawError("request.invalid", "Last-Event-ID is turn.attempt.number");
      parts.streams.assertRoom();
      await followSession(parts, { tenant, session, after, traceId: traceIdOf(request) }, reply);
      return reply;
    },
  );
};

interface Followed {
  readonly tenant: string;
  readonly session: string;
  readonly after: Position | undefined;
  readonly traceId: string;
}

/** Live first, then the store: what comes in between is held until the store has been read. */
async function followSession(
  { deps, settings, hub, streams }: GatewayParts,
  { tenant, session, after, traceId }: Followed,
  reply: FastifyReply,
): Promise<void> {
  let stream: SseStream | undefined;
  const ordered = new OrderedEvents({
    deliver: (event) => {
      if (stream) sendEvent(stream, event);
    },
    replayFrom: (turn) => deps.conversations.replay(tenant, session, endOfTurn(turn - 1)),
    onReplayFailed: (err) => deps.log.debug({ err }, "events of a session cannot be read now"),
  });
  const look = async (): Promise<void> => {
    await ordered.refill();
    try {
      if (!(await isGone(deps.conversations, tenant, session, ordered.open))) return;
    } catch (err) {
      return deps.log.debug({ err }, "what was erased cannot be read now");
    }
    stream?.send("error", problemOf(new JetclawError("session.not-found", "it was erased"), traceId));
    stream?.end();
  };
  const early: StreamEvent[] = [];
  let quiet: QuietCheck | undefined;
  const listening = await hub.listen(tenant, session, (event) => {
    quiet?.heard();
    if (stream) ordered.offer(event);
    else early.push(event);
  });
  // One from before the data was set up anew would hide all turns up to it.
  const isAhead = after && (await isBeyond(deps.conversations, tenant, session, after.turn));
  const from = isAhead ? { turn: 0, attempt: 0, number: 0 } : after;
  stream = streams.open(reply);
  quiet = new QuietCheck(settings.quietCheckMs, () => void look());
  const reconnects = deps.onReconnect?.(() => void ordered.catchUp());
  stream.onClose(() => {
    quiet?.stop();
    listening.stop();
    reconnects?.stop();
  });
  const resuming = from ? ordered.resume(from) : undefined;
  for (const event of early) ordered.offer(event);
  await resuming;
}

/** Whether a turn that is waited for will never end: its conversation was erased. */
async function isGone(
  conversations: Conversations,
  tenant: string,
  session: string,
  turn: number | undefined,
): Promise<boolean> {
  if (!turn) return false;
  const extent = await conversations.extent(tenant, session);
  return turn <= extent.erasedTurn || turn > extent.turn;
}

async function isBeyond(
  conversations: Conversations,
  tenant: string,
  session: string,
  turn: number,
): Promise<boolean> {
  if (turn === 0) return false;
  const extent = await conversations.extent(tenant, session).catch(() => undefined);
  return extent !== undefined && turn > extent.turn;
}

/** Asks for a look into the store when nothing was heard for a while, then less and less often. */
class QuietCheck {
  readonly #timer: NodeJS.Timeout;
  readonly #firstPauseMs: number;
  #pauseMs: number;
  #since = performance.now();

  constructor(everyMs: number, look: () => void) {
    this.#firstPauseMs = everyMs * 2;
    this.#pauseMs = this.#firstPauseMs;
    this.#timer = setInterval(() => {
      if (performance.now() - this.#since < this.#pauseMs) return;
      this.#since = performance.now();
      this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
      look();
    }, everyMs).unref();
  }

  heard(): void {
    this.#since = performance.now();
    this.#pauseMs = this.#firstPauseMs;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
