/** The events of a session as one stream that any gateway can resume. */
import { z } from "zod";
import { JetclawError } from "#contracts/errors.ts";
import { parseEventId } from "#contracts/turn.ts";
import { callerOf, requireScope } from "../auth.ts";
import { sessionParams } from "../input.ts";
import { endOfTurn, OrderedEvents } from "../ordered-events.ts";
import type { Routes } from "../parts.ts";
import { problemSchema } from "../problems.ts";
import { sendEvent } from "../sse.ts";

/** The longest pause between two looks into the store for an open turn that went quiet. */
const LONGEST_PAUSE_MS = 60_000;

export const eventRoutes: Routes = (app, { deps, settings, hub, streams }) => {
  requireScope(app, "chat");

  app.get(
    "/conversations/:session/events",
    {
      schema: {
        tags: ["conversations"],
        summary: "Events of a session",
        description:
          "Server-sent events turn, delta, restart, done. `Last-Event-ID: turn.attempt.number` resumes after that event; `0.0.0` gives everything that is kept. Without it the stream begins now.",
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
      streams.assertRoom();

      const open: { stream?: ReturnType<typeof streams.open> } = {};
      const ordered = new OrderedEvents({
        deliver: (event) => {
          if (open.stream) sendEvent(open.stream, event);
        },
        replayFrom: (turn) => deps.conversations.replay(tenant, session, endOfTurn(turn - 1)),
        onReplayFailed: (err) => deps.log.debug({ err }, "events of a session cannot be read now"),
      });
      let heardAt = performance.now();
      // Live first, then the store: what comes in between is held until the store has been read.
      let waiting: Parameters<OrderedEvents["offer"]>[0][] | undefined = [];
      const listening = await hub.listen(tenant, session, (event) => {
        heardAt = performance.now();
        if (waiting) waiting.push(event);
        else ordered.offer(event);
      });
      const stream = streams.open(reply);
      open.stream = stream;
      const resuming = after ? ordered.resume(after) : undefined;
      const early = waiting;
      waiting = undefined;
      for (const event of early) ordered.offer(event);
      await resuming;

      let pauseMs = settings.quietCheckMs * 2;
      let checkedAt = heardAt;
      const check = setInterval(() => {
        const now = performance.now();
        if (now - heardAt < settings.quietCheckMs) pauseMs = settings.quietCheckMs * 2;
        if (now - Math.max(heardAt, checkedAt) < pauseMs) return;
        checkedAt = now;
        pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
        void ordered.refill();
      }, settings.quietCheckMs).unref();
      stream.onClose(() => {
        clearInterval(check);
        listening.stop();
      });
      return reply;
    },
  );
};
