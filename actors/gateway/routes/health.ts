/** Whether the process lives, whether it takes work, and its figures. No key: nothing here names anyone. */
import { z } from "zod";
import { enableMetrics, prometheusText } from "#runtime/observe/metrics.ts";
import type { Routes } from "../parts.ts";

const readinessSchema = z.object({ ready: z.boolean(), reasons: z.array(z.string()) });
const tags = ["operation"];

export const healthRoutes: Routes = async (app, { deps }) => {
  await enableMetrics();
  app.get(
    "/healthz",
    {
      schema: {
        tags,
        summary: "Alive",
        security: [],
        response: { 200: z.object({ status: z.literal("ok") }) },
      },
    },
    async () => ({ status: "ok" as const }),
  );

  app.get(
    "/readyz",
    {
      schema: {
        tags,
        summary: "Takes work",
        description:
          "200 only when every role of the process takes work and the demo knowledge is searchable.",
        security: [],
        response: { 200: readinessSchema, 503: readinessSchema },
      },
    },
    async (_request, reply) => {
      const { ready, reasons } = deps.readiness();
      return reply
        .code(ready ? 200 : 503)
        .header("cache-control", "no-store")
        .send({ ready, reasons: [...reasons] });
    },
  );

  app.get(
    "/metrics",
    { schema: { tags, summary: "Prometheus text", security: [], produces: ["text/plain"] } },
    async (_request, reply) =>
      reply.type("text/plain; version=0.0.4; charset=utf-8").send(await prometheusText()),
  );
};
