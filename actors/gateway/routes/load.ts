/** The operator's routes about load: the level and its history, holding it by hand, drain times for autoscalers. */
import { z } from "zod";
import type { LoadAdmin } from "#actors/governor/port.ts";
import { drainSchema, levelOverrideSchema, levelRecordSchema } from "#contracts/load.ts";
import { callerOf, requireScope } from "../auth.ts";
import type { App } from "../parts.ts";
import { problemSchema } from "../problems.ts";

const statusSchema = levelRecordSchema.extend({
  override: levelOverrideSchema.nullable(),
  history: z.array(levelRecordSchema).meta({ description: "Changes, the newest first." }),
});
const overrideBody = z.object({
  level: levelRecordSchema.shape.level.nullable().meta({ description: "null: the governor decides again." }),
  reason: z.string().min(1).max(512),
});
const drainReport = z.object({
  pool: z.string(),
  value: z.number().meta({ description: "Drain time in ms; what nobody waits for counts a tenth." }),
  waiting: z.number(),
  inFlight: z.number(),
  at: z.number(),
  classes: z.array(drainSchema),
});
const tags = ["admin"];

export function loadRoutes(app: App, load: LoadAdmin): void {
  requireScope(app, "admin");

  app.get(
    "/admin/level",
    {
      schema: {
        tags,
        summary: "The load level, why, and its last changes",
        response: { 200: statusSchema, "4xx": problemSchema, "5xx": problemSchema },
      },
    },
    async (_request, reply) => {
      const status = await load.status();
      return reply
        .header("cache-control", "no-store")
        .send({ ...status, history: status.history.map((record) => ({ ...record })) });
    },
  );

  app.put(
    "/admin/level",
    {
      schema: {
        tags,
        summary: "Hold the load level by hand",
        body: overrideBody,
        response: { 200: levelOverrideSchema, "4xx": problemSchema, "5xx": problemSchema },
      },
    },
    async (request) => {
      const { level, reason } = request.body;
      return load.override(level, reason, `key ${callerOf(request).id}`);
    },
  );

  app.get(
    "/admin/drain",
    {
      schema: {
        tags,
        summary: "Predicted wait of a pool, for KEDA's metrics-api",
        description: "503 while no governor measures: an autoscaler then keeps or falls back.",
        querystring: z.object({ pool: z.string().min(1).max(64) }),
        response: { 200: drainReport, "4xx": problemSchema, "5xx": problemSchema },
      },
    },
    async (request, reply) => {
      const report = load.drain(request.query.pool);
      return reply
        .header("cache-control", "no-store")
        .send({ ...report, classes: report.classes.map((drain) => ({ ...drain })) });
    },
  );
}
