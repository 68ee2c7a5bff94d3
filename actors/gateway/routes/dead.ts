/** The operator's routes about dead letters: list, show, redrive, drop. */
import { z } from "zod";
import type { DeadLetters } from "#runtime/actor/dead-letters.ts";
import { requireScope } from "../auth.ts";
import { idSchema } from "../input.ts";
import type { App } from "../parts.ts";
import { problemSchema } from "../problems.ts";

const lineSchema = z.object({
  reference: z.string(),
  stream: z.string(),
  kind: z.string().optional(),
  tenant: z.string().optional(),
  key: z.string().optional().meta({ description: "Of the actor: for conversations the session." }),
  type: z.string().optional(),
  id: z.string().optional(),
  reason: z.string(),
  digest: z.string().optional().meta({ description: "Of the stack: equal for the same bug." }),
  attempts: z.number(),
  redriven: z.number(),
  at: z.number(),
});
const query = z.object({
  tenant: idSchema.optional(),
  session: idSchema.optional(),
  kind: idSchema.optional(),
  stream: idSchema.optional(),
  since: z.coerce.number().nonnegative().optional().meta({ description: "Ms since the epoch." }),
  from: z.coerce.number().int().positive().optional().meta({ description: "`next` of the page before." }),
  limit: z.coerce.number().int().min(1).max(1_000).optional(),
});
const reference = z.object({ reference: z.string().max(64) });
const tags = ["admin"];
const failures = { "4xx": problemSchema, "5xx": problemSchema };

export function deadRoutes(app: App, dead: DeadLetters): void {
  requireScope(app, "admin");

  app.get(
    "/admin/dead",
    {
      schema: {
        tags,
        summary: "List dead letters, the oldest first",
        querystring: query,
        response: {
          200: z.object({ letters: z.array(lineSchema), next: z.number().optional() }),
          ...failures,
        },
      },
    },
    async (request, reply) => {
      const { session: key, since: sinceAt, ...rest } = request.query;
      const { letters, next } = await dead.list({ ...rest, key, sinceAt });
      return reply.header("cache-control", "no-store").send({ letters: [...letters], next });
    },
  );

  app.get(
    "/admin/dead/:reference",
    {
      schema: {
        tags,
        summary: "A dead letter with its message, attempts and stack",
        description: "What nobody could read is there as `base64`.",
        params: reference,
        response: { 200: z.record(z.string(), z.unknown()), ...failures },
      },
    },
    async (request, reply) =>
      reply.header("cache-control", "no-store").send({ ...(await dead.show(request.params.reference)) }),
  );

  app.post(
    "/admin/dead/:reference/redrive",
    {
      schema: {
        tags,
        summary: "Return a message to its actor under its original id",
        description:
          "`settled`: it was processed meanwhile or nobody waits for it any more, and nothing was sent. Safe to repeat.",
        params: reference,
        response: {
          200: z.object({ reference: z.string(), result: z.enum(["redriven", "settled"]) }),
          ...failures,
        },
      },
    },
    async ({ params }) => ({
      reference: params.reference,
      result: await dead.redrive(params.reference),
    }),
  );

  app.delete(
    "/admin/dead/:reference",
    {
      schema: {
        tags,
        summary: "Drop a dead letter",
        params: reference,
        response: { 204: z.null(), ...failures },
      },
    },
    async (request, reply) => {
      await dead.remove(request.params.reference);
      return reply.code(204).send(null);
    },
  );
}
