/** The operator's routes about conversations: list, read, erase, over all tenants. */
import { z } from "zod";
import type { Conversations } from "#actors/conversation/port.ts";
import { JetclawError } from "#contracts/errors.ts";
import { requireScope } from "../auth.ts";
import { idSchema } from "../input.ts";
import type { App } from "../parts.ts";
import { problemSchema } from "../problems.ts";

const lineSchema = z.object({
  tenant: z.string(),
  session: z.string(),
  status: z.enum(["idle", "collecting", "answering", "erased"]),
  turns: z.number(),
  channel: z.string(),
  createdAt: z.number().meta({ description: "Ms since the epoch; of an erased one when that was." }),
  bytes: z.number().meta({ description: "Of its record; its turns lie elsewhere." }),
});
const receiptSchema = z.object({
  v: z.literal(1),
  id: z.string(),
  tenant: z.string(),
  session: z.string(),
  turns: z.number(),
  at: z.number(),
});
const params = z.object({ tenant: idSchema, session: idSchema });
const tags = ["admin"];
const failures = { "4xx": problemSchema, "5xx": problemSchema };

export function sessionRoutes(app: App, conversations: Conversations): void {
  requireScope(app, "admin");

  app.get(
    "/admin/sessions",
    {
      schema: {
        tags,
        summary: "List conversations",
        querystring: z.object({
          tenant: idSchema.optional(),
          from: z.string().max(32).optional().meta({ description: "`next` of the page before." }),
          limit: z.coerce.number().int().min(1).max(1_000).optional(),
        }),
        response: {
          200: z.object({ sessions: z.array(lineSchema), next: z.string().optional() }),
          ...failures,
        },
      },
    },
    async (request, reply) => {
      const { sessions, next } = await conversations.list(request.query);
      return reply.header("cache-control", "no-store").send({ sessions: [...sessions], next });
    },
  );

  app.get(
    "/admin/sessions/:tenant/:session",
    {
      schema: {
        tags,
        summary: "Transcript",
        params,
        response: { 200: z.record(z.string(), z.unknown()), ...failures },
      },
    },
    async (request, reply) => {
      const { tenant, session } = request.params;
      const transcript = await conversations.transcript(tenant, session);
      if (!transcript) throw new JetclawError("session.not-found");
      return reply.header("cache-control", "no-store").send({ ...transcript });
    },
  );

  app.delete(
    "/admin/sessions/:tenant/:session",
    {
      schema: {
        tags,
        summary: "Erase, and get the receipt",
        params,
        response: { 200: receiptSchema, ...failures },
      },
    },
    async (request, reply) => {
      const { tenant, session } = request.params;
      const receipt = await conversations.erase(tenant, session);
      if (!receipt) throw new JetclawError("session.not-found");
      return reply.header("cache-control", "no-store").send({ ...receipt });
    },
  );
}
