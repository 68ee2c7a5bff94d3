/** The operator's routes: what the console and the command line show and do. */
import { z } from "zod";
import { JetclawError } from "#contracts/errors.ts";
import { requireScope } from "../auth.ts";
import { idSchema } from "../input.ts";
import type { Routes } from "../parts.ts";
import { type AdminStatus, SCOPES } from "../port.ts";
import { problemSchema } from "../problems.ts";
import type { SseStream } from "../sse.ts";

const keySchema = z.object({
  id: z.string(),
  tenant: z.string(),
  scopes: z.array(z.enum(SCOPES)),
  label: z.string(),
  createdAt: z.number(),
  revokedAt: z.number().optional(),
});
const statusSchema = z.object({
  at: z.number(),
  roles: z.array(
    z.object({
      role: z.string(),
      instance: z.string(),
      where: z.string(),
      startedAt: z.number(),
      draining: z.boolean(),
      everyMs: z.number(),
      info: z.record(z.string(), z.union([z.string(), z.number()])),
    }),
  ),
  streams: z.array(
    z.object({ name: z.string(), messages: z.number(), bytes: z.number(), consumers: z.number() }),
  ),
  placement: z
    .object({
      revision: z.number(),
      hosts: z.array(
        z.object({
          host: z.string(),
          partitions: z.array(z.number().int()),
          leaving: z.array(z.number().int()),
        }),
      ),
      unowned: z.array(z.number().int()),
      epochs: z.array(z.number().int()),
    })
    .optional(),
});
const tags = ["admin"];

export const adminRoutes: Routes = (app, { deps, settings, streams }) => {
  requireScope(app, "admin");
  const watchers = new StatusWatchers(() => deps.admin.status(), settings.statusMs);
  app.addHook("onClose", async () => watchers.close());

  app.get(
    "/admin/status",
    {
      schema: {
        tags,
        summary: "The deployment now",
        response: { 200: statusSchema, "4xx": problemSchema, "5xx": problemSchema },
      },
    },
    async (_request, reply) =>
      reply
        .header("cache-control", "no-store")
        .send((await deps.admin.status()) as z.infer<typeof statusSchema>),
  );

  app.get(
    "/admin/events",
    {
      // A stream has no head of its own.
      exposeHeadRoute: false,
      schema: {
        tags,
        summary: "The deployment as it changes",
        description: "Server-sent events `status`, each a whole snapshot.",
        response: {
          200: { description: "The snapshots", content: { "text/event-stream": { schema: z.string() } } },
          "4xx": problemSchema,
        },
      },
    },
    async (_request, reply) => {
      streams.assertRoom();
      const first = await deps.admin.status();
      const stream = streams.open(reply);
      stream.send("status", first);
      watchers.add(stream);
      return reply;
    },
  );

  app.post(
    "/admin/keys",
    {
      schema: {
        tags,
        summary: "Make a key",
        description: "The key is in this answer and nowhere else.",
        body: z.object({
          tenant: idSchema,
          scopes: z.array(z.enum(SCOPES)).min(1).optional(),
          label: z.string().max(256).optional(),
        }),
        response: { 201: keySchema.extend({ key: z.string() }), "4xx": problemSchema },
      },
    },
    async (request, reply) => {
      const { tenant, scopes, label } = request.body;
      const made = await deps.keys.create(tenant, {
        ...(scopes ? { scopes } : {}),
        ...(label ? { label } : {}),
      });
      return reply
        .code(201)
        .header("cache-control", "no-store")
        .send({ ...made, scopes: [...made.scopes] });
    },
  );

  app.get(
    "/admin/keys",
    {
      schema: {
        tags,
        summary: "List keys",
        querystring: z.object({ tenant: idSchema.optional() }),
        response: { 200: z.object({ keys: z.array(keySchema) }), "4xx": problemSchema },
      },
    },
    async (request) => ({
      keys: (await deps.keys.list(request.query.tenant)).map((key) => ({ ...key, scopes: [...key.scopes] })),
    }),
  );

  app.delete(
    "/admin/keys/:id",
    {
      schema: {
        tags,
        summary: "Revoke a key",
        params: z.object({ id: idSchema }),
        response: { 204: z.null(), "4xx": problemSchema },
      },
    },
    async (request, reply) => {
      if (!(await deps.keys.revoke(request.params.id))) throw new JetclawError("key.not-found");
      return reply.code(204).send(null);
    },
  );
};

/** One reading a moment for all who watch, and none while nobody does. */
class StatusWatchers {
  readonly #read: () => Promise<AdminStatus>;
  readonly #everyMs: number;
  readonly #streams = new Set<SseStream>();
  #timer: NodeJS.Timeout | undefined;
  #reading = false;

  constructor(read: () => Promise<AdminStatus>, everyMs: number) {
    this.#read = read;
    this.#everyMs = everyMs;
  }

  add(stream: SseStream): void {
    this.#streams.add(stream);
    stream.onClose(() => {
      this.#streams.delete(stream);
      if (this.#streams.size === 0) this.close();
    });
    this.#next();
  }

  #next(): void {
    if (this.#reading || this.#streams.size === 0) return;
    this.#timer ??= setTimeout(async () => {
      this.#timer = undefined;
      this.#reading = true;
      // A store that does not answer now leaves the last snapshot standing.
      const status = await this.#read().catch(() => undefined);
      this.#reading = false;
      if (status) for (const stream of [...this.#streams]) stream.send("status", status);
      this.#next();
    }, this.#everyMs);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
