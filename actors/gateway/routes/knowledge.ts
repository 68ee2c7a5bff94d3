/** Documents of a tenant's collections. The store is the source of truth; `?wait=indexed` waits for its projections. */
import { z } from "zod";
import { JetclawError } from "#contracts/errors.ts";
import { passageSchema } from "#contracts/job.ts";
import { documentInputSchema } from "#contracts/knowledge.ts";
import { LIMITS } from "#contracts/limits.ts";
import { callerOf, requireScope } from "../auth.ts";
import { idSchema } from "../input.ts";
import type { Routes } from "../parts.ts";
import { problemSchema } from "../problems.ts";

/** Documents a page may have; a page of them is a few hundred kilobytes. */
const MOST_LISTED = 1_000;
/** Passages that a search may ask for. */
const MOST_FOUND = 50;

const documentParams = z.object({ collection: idSchema, document: idSchema });
const waitQuery = z.object({ wait: z.literal("indexed").optional() });

const changedSchema = z.object({
  collection: z.string(),
  document: z.string(),
  revision: z.number().int(),
  indexed: z
    .boolean()
    .optional()
    .meta({ description: "Present when waited for: whether every reader has the revision." }),
});
const listedSchema = documentInputSchema.omit({ text: true }).extend({
  collection: z.string(),
  document: z.string(),
  revision: z.number().int(),
  at: z.number(),
});
const pageSchema = z.object({
  collection: z.string(),
  documents: z.array(listedSchema.extend({ hash: z.string() })),
  next: z.number().int().optional(),
  revision: z.number().int(),
  indexed: z.boolean().optional(),
});
const documentSchema = listedSchema.extend({ text: z.string() });
const tags = ["knowledge"];

export const knowledgeRoutes: Routes = (app, { deps, settings }) => {
  const { knowledge } = deps;
  requireScope(app, "knowledge");

  /** 200 when searchable or not asked; 202 when stored and the readers are still at work. */
  const changed = async (
    collection: string,
    document: string,
    revision: number,
    wait: "indexed" | undefined,
  ) => {
    if (wait === undefined) return { status: 200 as const, body: { collection, document, revision } };
    const indexed = await knowledge.waitIndexed(revision, settings.indexWaitMs);
    return {
      status: indexed ? (200 as const) : (202 as const),
      body: { collection, document, revision, indexed },
    };
  };
  const changes = { 200: changedSchema, 202: changedSchema, "4xx": problemSchema };

  app.put(
    "/knowledge/:collection/:document",
    {
      schema: {
        tags,
        summary: "Store a document",
        description:
          "Names the revision. `?wait=indexed` answers when the document is searchable: 200, or 202 when that takes longer.",
        params: documentParams,
        querystring: waitQuery,
        body: documentInputSchema,
        response: changes,
      },
    },
    async (request, reply) => {
      const { collection, document } = request.params;
      const { revision } = await knowledge.put(callerOf(request).tenant, collection, document, request.body);
      const { status, body } = await changed(collection, document, revision, request.query.wait);
      return reply.code(status).send(body);
    },
  );

  app.get(
    "/knowledge/:collection/:document",
    {
      schema: {
        tags,
        summary: "Read a document",
        params: documentParams,
        response: { 200: documentSchema, "4xx": problemSchema },
      },
    },
    async (request, reply) => {
      const found = await knowledge.get(
        callerOf(request).tenant,
        request.params.collection,
        request.params.document,
      );
      if (!found) throw new JetclawError("document.not-found");
      return reply.header("etag", `"${found.revision}"`).send(found);
    },
  );

  app.delete(
    "/knowledge/:collection/:document",
    {
      schema: {
        tags,
        summary: "Delete a document",
        params: documentParams,
        querystring: waitQuery,
        response: changes,
      },
    },
    async (request, reply) => {
      const { collection, document } = request.params;
      const deleted = await knowledge.delete(callerOf(request).tenant, collection, document);
      if (!deleted) throw new JetclawError("document.not-found");
      const { status, body } = await changed(collection, document, deleted.revision, request.query.wait);
      return reply.code(status).send(body);
    },
  );

  const { retriever } = deps;
  if (retriever)
    app.post(
      "/knowledge/:collection/search",
      {
        schema: {
          tags,
          summary: "Search a collection",
          description:
            "The passages that an answer to the question would rest on, best first; none when nothing fits.",
          params: z.object({ collection: idSchema }),
          body: z.object({
            question: z.string().min(1).max(LIMITS.messageTextChars),
            locale: z.string().max(35).optional(),
            limit: z.number().int().min(1).max(MOST_FOUND).default(LIMITS.passages),
          }),
          response: {
            200: z.object({ collection: z.string(), passages: z.array(passageSchema) }),
            "4xx": problemSchema,
          },
        },
      },
      async (request) => {
        const { collection } = request.params;
        const { tenant } = callerOf(request);
        const passages = await retriever.retrieve({ tenant, collections: [collection], ...request.body });
        return { collection, passages };
      },
    );

  app.get(
    "/knowledge/:collection",
    {
      schema: {
        tags,
        summary: "List a collection",
        description:
          "A page in the order of the last change; `next` is the `after` of the following one. With `?wait=indexed` it says whether everything up to its last document is searchable.",
        params: z.object({ collection: idSchema }),
        querystring: waitQuery.extend({
          after: z.coerce.number().int().min(0).optional(),
          limit: z.coerce.number().int().min(1).max(MOST_LISTED).optional(),
        }),
        response: { 200: pageSchema, "4xx": problemSchema },
      },
    },
    async (request) => {
      const { collection } = request.params;
      const { after, limit, wait } = request.query;
      const page = await knowledge.list(callerOf(request).tenant, collection, { after, limit });
      if (wait === undefined) return { collection, ...page };
      const indexed = await knowledge.waitIndexed(page.revision, settings.indexWaitMs);
      return { collection, ...page, indexed };
    },
  );
};
