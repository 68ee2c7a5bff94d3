/** A conversation as a whole: read, stop, rate a turn, erase. */
import { z } from "zod";
import type { Conversations } from "#actors/conversation/port.ts";
import { citationSchema } from "#contracts/content.ts";
import { JetclawError } from "#contracts/errors.ts";
import { conversationMessages, OUTCOMES, TRANSCRIPT_STATUS } from "#contracts/turn.ts";
import { callerOf, requireScope } from "../auth.ts";
import { sessionParams } from "../input.ts";
import type { Routes } from "../parts.ts";
import { problemSchema } from "../problems.ts";

const transcriptSchema = z.object({
  session: z.string(),
  status: z.enum(TRANSCRIPT_STATUS),
  turns: z.array(
    z.object({
      turn: z.number().int(),
      messages: z.array(z.object({ id: z.string(), text: z.string(), at: z.number() })),
      reply: z.string().nullable(),
      citations: z.array(citationSchema),
      model: z.string().nullable(),
      cached: z.boolean(),
      outcome: z.enum(OUTCOMES).optional(),
      feedback: z.enum(["up", "down"]).optional(),
      at: z.number(),
    }),
  ),
});

export const conversationRoutes: Routes = (app, parts) => {
  const { conversations } = parts.deps;
  requireScope(app, "chat");

  app.get(
    "/conversations/:session",
    {
      schema: {
        tags: ["conversations"],
        summary: "Transcript",
        description: "Turns in order; a running turn is the last and has `reply: null`.",
        params: sessionParams,
        response: { 200: transcriptSchema, "4xx": problemSchema },
      },
    },
    async (request, reply) => {
      const transcript = await existing(conversations, callerOf(request).tenant, request.params.session);
      return reply.header("cache-control", "no-store").send(transcript as z.infer<typeof transcriptSchema>);
    },
  );

  app.delete(
    "/conversations/:session",
    {
      schema: {
        tags: ["conversations"],
        summary: "Erase",
        params: sessionParams,
        response: { 204: z.null(), "4xx": problemSchema },
      },
    },
    async (request, reply) => {
      if (!(await conversations.erase(callerOf(request).tenant, request.params.session)))
        throw new JetclawError("session.not-found");
      return reply.code(204).send(null);
    },
  );

  app.post(
    "/conversations/:session/stop",
    {
      schema: {
        tags: ["conversations"],
        summary: "Stop the running answer",
        params: sessionParams,
        response: { 202: z.object({ session: z.string() }), "4xx": problemSchema },
      },
    },
    async (request, reply) => {
      const { tenant } = callerOf(request);
      if (!(await conversations.exists(tenant, request.params.session)))
        throw new JetclawError("session.not-found");
      await conversations.stop(tenant, request.params.session);
      return reply.code(202).send({ session: request.params.session });
    },
  );

  app.post(
    "/conversations/:session/turns/:turn/feedback",
    {
      schema: {
        tags: ["conversations"],
        summary: "Thumbs for a turn",
        params: sessionParams.extend({ turn: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER) }),
        body: conversationMessages.feedback.omit({ turn: true }),
        response: { 204: z.null(), "4xx": problemSchema },
      },
    },
    async (request, reply) => {
      const { session, turn } = request.params;
      const { value, comment } = request.body;
      await conversations.feedback(callerOf(request).tenant, session, turn, value, comment);
      return reply.code(204).send(null);
    },
  );
};

/** @throws JetclawError `session.not-found`; another tenant's session is one that does not exist. */
async function existing(conversations: Conversations, tenant: string, session: string) {
  const transcript = await conversations.transcript(tenant, session);
  if (!transcript) throw new JetclawError("session.not-found");
  return transcript;
}
