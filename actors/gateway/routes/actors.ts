/** Actors of the user's own: a message in, its reply or 202 out, and what the kind shows of its state. */
import { z } from "zod";
import { JetclawError } from "#contracts/errors.ts";
import { CONVERSATION } from "#contracts/turn.ts";
import { callerOf, requireScope } from "../auth.ts";
import { idFromHeader, idSchema, parsePrefer } from "../input.ts";
import { contextOf } from "../observe.ts";
import type { Routes } from "../parts.ts";
import { problemSchema } from "../problems.ts";

const actorParams = z.object({ kind: idSchema, key: idSchema });
const tags = ["actors"];

/** The product's own kinds have routes of their own: a result or a timer must not be forged here. */
function assertOwnKind(kind: string): void {
  if (kind === CONVERSATION)
    throw new JetclawError("actor.kind-unknown", "conversations have routes of their own");
}

export const actorRoutes: Routes = (app, { deps, settings }) => {
  requireScope(app, "actors");

  app.post(
    "/actors/:kind/:key/:message",
    {
      schema: {
        tags,
        summary: "Send a message to an actor",
        description:
          "The body is the message. 200 with the handler's reply, or 202 when it is stored and nothing came back in time. `Prefer: wait=<seconds>` and `respond-async` set the wait; `Idempotency-Key` makes a repeat harmless.",
        params: actorParams.extend({ message: idSchema }),
        body: z.unknown(),
        response: {
          200: z.unknown(),
          202: z.object({ kind: z.string(), key: z.string(), id: z.string() }),
          "4xx": problemSchema,
        },
      },
    },
    async (request, reply) => {
      const { kind, key, message } = request.params;
      assertOwnKind(kind);
      const id = idFromHeader("Idempotency-Key", request.headers["idempotency-key"]) ?? deps.clock.id();
      const prefer = parsePrefer(request.headers.prefer?.toString());
      const answer = await deps.actors.send({
        tenant: callerOf(request).tenant,
        kind,
        key,
        type: message,
        body: request.body ?? {},
        id,
        waitMs: prefer.respondAsync ? 0 : Math.min(prefer.waitMs ?? settings.actorWaitMs, settings.waitMs),
        trace: contextOf(request),
      });
      if (answer.replied) return reply.code(200).send(answer.reply ?? null);
      const location = `/v1/actors/${encodeURIComponent(kind)}/${encodeURIComponent(key)}`;
      return reply.code(202).header("location", location).send({ kind, key, id });
    },
  );

  app.get(
    "/actors/:kind/:key",
    {
      schema: {
        tags,
        summary: "What an actor shows",
        params: actorParams,
        response: { 200: z.unknown(), "4xx": problemSchema },
      },
    },
    async (request, reply) => {
      const { kind, key } = request.params;
      assertOwnKind(kind);
      const view = await deps.actors.view(kind, callerOf(request).tenant, key);
      if (!view) throw new JetclawError("actor.not-found");
      return reply.send(view.value ?? null);
    },
  );
};
