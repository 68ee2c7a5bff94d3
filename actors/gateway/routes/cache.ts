/** The operator's routes about the caches: what they hold, why a question is or is not served, removal of one entry. */
import { z } from "zod";
import type { CacheAdmin } from "#actors/cache/port.ts";
import { JetclawError } from "#contracts/errors.ts";
import { LIMITS } from "#contracts/limits.ts";
import { requireScope } from "../auth.ts";
import { idSchema } from "../input.ts";
import type { App } from "../parts.ts";
import { problemSchema } from "../problems.ts";

const hostSchema = z.object({
  instance: z.string(),
  entries: z.number().int(),
  semantic: z.number().int(),
  served: z.object({ response: z.number().int(), semantic: z.number().int(), misses: z.number().int() }),
  checks: z.object({ agreed: z.number().int(), differed: z.number().int() }),
});
const statusSchema = z.object({
  at: z.number(),
  keys: z.number().int(),
  bytes: z.number().int(),
  hosts: z.array(hostSchema),
});
const askSchema = z.object({
  tenant: idSchema,
  text: z.string().min(1).max(LIMITS.messageTextChars),
  assistant: idSchema.optional(),
  locale: z.string().max(35).optional(),
  tier: z.string().max(64).optional(),
  ongoing: z.boolean().default(false).meta({ description: "Something was said before it." }),
});
const candidateSchema = z.object({
  entry: z.string(),
  text: z.string(),
  cosine: z.number().nullable(),
  lexical: z.number(),
  refused: z.array(z.string()),
  current: z.boolean(),
  documents: z.array(z.string()),
});
const explanationSchema = z.object({
  tenant: z.string(),
  assistant: z.string(),
  locale: z.string(),
  tier: z.string(),
  off: z.boolean(),
  levels: z.enum(["both", "response", "none"]),
  reason: z.string().nullable(),
  passages: z.array(z.object({ collection: z.string(), document: z.string(), revision: z.number().int() })),
  id: z.string().meta({ description: "The id that the question's own entry has or would have." }),
  response: z.object({
    state: z.enum(["hit", "stale", "uncited", "none", "unknown"]),
    question: z.string().nullish(),
    reply: z.string().nullish(),
  }),
  semantic: z
    .object({
      decision: z.enum(["serve", "check", "miss"]),
      reason: z.string().nullable(),
      weighed: z.string().nullable(),
      confidence: z.number(),
      threshold: z.number(),
      lessons: z.number(),
      candidates: z.array(candidateSchema),
    })
    .nullable(),
});
const tags = ["admin"];
const failures = { "4xx": problemSchema, "5xx": problemSchema };

export function cacheRoutes(app: App, cache: CacheAdmin): void {
  requireScope(app, "admin");

  app.get(
    "/admin/cache",
    {
      schema: {
        tags,
        summary: "What the caches hold and served",
        response: { 200: statusSchema, ...failures },
      },
    },
    async (_request, reply) => {
      const status = await cache.status();
      return reply
        .header("cache-control", "no-store")
        .send({ ...status, hosts: status.hosts.map((host) => ({ ...host })) });
    },
  );

  app.post(
    "/admin/cache/explain",
    {
      schema: {
        tags,
        summary: "What the caches would do with a question, and why",
        description: "No model is asked, nothing is kept.",
        body: askSchema,
        response: { 200: explanationSchema, ...failures },
      },
    },
    async (request, reply) =>
      reply
        .header("cache-control", "no-store")
        .send((await cache.explain(request.body)) as z.infer<typeof explanationSchema>),
  );

  app.delete(
    "/admin/cache/entries/:id",
    {
      schema: {
        tags,
        summary: "Remove one cached answer from every host",
        description: "The same answer is not kept again for an hour.",
        params: z.object({ id: z.string().regex(/^[\w-]{1,64}$/) }),
        querystring: z.object({ tenant: idSchema }),
        response: { 204: z.null(), ...failures },
      },
    },
    async (request, reply) => {
      if (!(await cache.remove(request.query.tenant, request.params.id)))
        throw new JetclawError("cache.not-found");
      return reply.code(204).send(null);
    },
  );
}
