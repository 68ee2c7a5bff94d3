/** The chat page: files of a build, served under a policy that runs and loads nothing from elsewhere. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import fastifyStatic from "@fastify/static";
import type { FastifyInstance } from "fastify";
import type { Log } from "#runtime/observe/log.ts";

/** Content-Security-Policy of every answer. */
export const PAGE_POLICY = {
  "default-src": ["'none'"],
  "script-src": ["'self'"],
  "style-src": ["'self'"],
  "img-src": ["'self'", "data:"],
  "font-src": ["'self'"],
  "connect-src": ["'self'"],
  "manifest-src": ["'self'"],
  "base-uri": ["'none'"],
  "form-action": ["'none'"],
  "frame-ancestors": ["'none'"],
};

export function servePage(app: FastifyInstance, staticDir: string | undefined, log: Log): void {
  if (staticDir === undefined) return;
  if (!existsSync(join(staticDir, "index.html"))) {
    log.warn({ staticDir }, "the chat page is not built, GET / will say 404");
    return;
  }
  app.register(fastifyStatic, {
    root: staticDir,
    dotfiles: "ignore",
    index: "index.html",
    // Built files carry a hash in their name; the page itself is asked for again each time.
    setHeaders: (response, path) =>
      void response.header(
        "cache-control",
        /-[\w-]{8,}\.\w+$/.test(path) ? "public, max-age=31536000, immutable" : "no-cache",
      ),
  });
}
