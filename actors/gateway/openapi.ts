/** The description of the routes, made from the schemas that check them. */
import swagger from "@fastify/swagger";
import type { FastifyInstance } from "fastify";
import { createJsonSchemaTransform, jsonSchemaTransformObject } from "fastify-type-provider-zod";

export function describeRoutes(app: FastifyInstance): void {
  app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "jetclaw",
        version: "1",
        description:
          "Conversations, knowledge, actors and operation of a jetclaw deployment. Failures are RFC 9457 problems.",
      },
      components: { securitySchemes: { key: { type: "http", scheme: "bearer" } } },
      security: [{ key: [] }],
    },
    // A schema with a transformation is described by what goes in.
    transform: createJsonSchemaTransform({ skipList: ["/openapi.json", "/", "/*"] }),
    transformObject: jsonSchemaTransformObject,
  });
  app.get("/openapi.json", { schema: { hide: true } }, async () => app.swagger());
}
