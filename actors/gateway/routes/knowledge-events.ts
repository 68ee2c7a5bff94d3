/**
 * CloudEvents of other systems as changes of documents, in the three forms of their HTTP binding: one in a JSON envelope,
 * many in an array of them, or one whose attributes are `ce-` headers and whose body is the data.
 */
import type { FastifyRequest } from "fastify";
import { z } from "zod";
import { type CloudEvent, changeOf, cloudEventSchema, type DocumentChange } from "#contracts/cloudevent.ts";
import { JetclawError } from "#contracts/errors.ts";
import { callerOf, requireScope } from "../auth.ts";
import { idSchema } from "../input.ts";
import type { App, GatewayParts, Routes } from "../parts.ts";
import { problemSchema } from "../problems.ts";
import { jsonParser, textParser } from "../transport.ts";

const STRUCTURED = "application/cloudevents+json";
const BATCH = "application/cloudevents-batch+json";
/** Events of one request. */
const MOST_EVENTS = 256;
const ATTRIBUTES = ["specversion", "id", "source", "type", "subject", "time", "dataschema"] as const;

const resultSchema = z.object({
  id: z.string(),
  document: z.string(),
  outcome: z.enum(["stored", "unchanged", "deleted", "late", "duplicate"]),
  revision: z.number().int(),
});

export const knowledgeEventRoutes: Routes = (app, parts) => {
  requireScope(app, "knowledge");
  const parseJson = jsonParser(app, parts.settings.jsonDepth);
  for (const type of [STRUCTURED, BATCH]) app.addContentTypeParser(type, { parseAs: "buffer" }, parseJson);
  // Data of a binary event, or a form that we do not know: that is told below, with the forms that we do know.
  app.addContentTypeParser(
    "*",
    { parseAs: "buffer" },
    textParser((_request, body, done) => done(null, body)),
  );
  addRoute(app, parts);
};

function addRoute(app: App, { deps, settings }: GatewayParts): void {
  const { knowledge } = deps;
  app.post(
    "/knowledge/:collection/events",
    {
      schema: {
        tags: ["knowledge"],
        summary: "Take CloudEvents of another system",
        description:
          "CloudEvents 1.0: structured, batched (up to 256) or binary. The last word of `type` stores (created, updated, published, ...) or deletes (deleted, removed, unpublished, ...); `subject` is the document; `data` is {title?, text | markdown | body, url?, locale?, tags?}, or text by its `datacontenttype`. Repeats and events older than what is stored change nothing. A batch with an event that cannot be read is refused whole.",
        params: z.object({ collection: idSchema }),
        querystring: z.object({ wait: z.literal("indexed").optional() }),
        response: {
          200: z.object({
            collection: z.string(),
            results: z.array(resultSchema),
            indexed: z.boolean().optional(),
          }),
          "4xx": problemSchema,
        },
      },
    },
    async (request) => {
      const { collection } = request.params;
      const { tenant } = callerOf(request);
      const events = eventsOf(request).map((event) => ({ id: event.id, change: changeOf(event) }));
      const results = await inOrder(events, (change) => knowledge.change(tenant, collection, change));
      if (request.query.wait === undefined) return { collection, results };
      const revision = results.reduce((most, each) => Math.max(most, each.revision), 0);
      return { collection, results, indexed: await knowledge.waitIndexed(revision, settings.indexWaitMs) };
    },
  );
}

/** Events of one document one after the other, documents side by side. */
async function inOrder<R extends object>(
  events: readonly { readonly id: string; readonly change: DocumentChange }[],
  apply: (change: DocumentChange) => Promise<R>,
): Promise<({ id: string } & R)[]> {
  const before = new Map<string, Promise<unknown>>();
  const results = events.map(async ({ id, change }) => {
    const turn = (before.get(change.document) ?? Promise.resolve()).then(() => apply(change));
    before.set(change.document, turn);
    return { id, ...(await turn) };
  });
  return await Promise.all(results);
}

/** @throws JetclawError `request.invalid`, `request.media-type` */
function eventsOf(request: FastifyRequest): CloudEvent[] {
  const type = (request.headers["content-type"] ?? "").split(";", 1)[0]?.trim().toLowerCase();
  if (type === BATCH) {
    if (!Array.isArray(request.body) || request.body.length > MOST_EVENTS)
      throw new JetclawError("request.invalid", `a batch is an array of at most ${MOST_EVENTS} events`);
    return request.body.map((event, at) => parsed(event, `event ${at}: `));
  }
  if (request.headers["ce-specversion"] !== undefined)
    return [parsed(binaryOf(request, type), "ce- headers: ")];
  if (type === STRUCTURED) return [parsed(request.body, "")];
  throw new JetclawError(
    "request.media-type",
    `send ${STRUCTURED}, ${BATCH}, or the attributes as ce- headers`,
  );
}

function parsed(value: unknown, where: string): CloudEvent {
  const event = cloudEventSchema.safeParse(value);
  if (event.success) return event.data;
  const [issue] = event.error.issues;
  throw new JetclawError("request.invalid", `${where}${issue?.path.join(".") || "event"}: ${issue?.message}`);
}

/** Source: CloudEvents HTTP binding 3.1. Values of headers are percent-encoded, and may stand in quotes. */
function binaryOf({ headers, body }: FastifyRequest, type: string | undefined): Record<string, unknown> {
  const event: Record<string, unknown> = { datacontenttype: type || undefined, data: body };
  for (const name of ATTRIBUTES) {
    const value = headers[`ce-${name}`];
    if (typeof value === "string") event[name] = decoded(name, value);
  }
  return event;
}

function decoded(name: string, value: string): string {
  try {
    const quoted = /^"((?:[^"\\]|\\.)*)"$/.exec(value)?.[1];
    return decodeURIComponent(quoted?.replace(/\\(.)/g, "$1") ?? value);
  } catch {
    throw new JetclawError("request.invalid", `ce-${name} is not valid percent-encoding`);
  }
}
