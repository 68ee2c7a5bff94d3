/**
 * What the endpoint is compared with: one process of node:http and undici that parses a request, sends it on, and
 * parses and returns the answer. No keys, no queue, no limits, no failover, no metrics.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Pool } from "undici";

const CONNECTIONS = 128;

/** Resolves when it listens. @returns what ends it */
export async function startBareProxy(port: number, upstream: string): Promise<() => Promise<void>> {
  const pool = new Pool(upstream, { connections: CONNECTIONS });
  const server = createServer((request, response) => {
    pass(pool, request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return async () => {
    server.closeAllConnections();
    server.close();
    await pool.destroy();
  };
}

async function pass(pool: Pool, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  const asked = JSON.parse(Buffer.concat(pieces).toString("utf8")) as { stream?: unknown };
  const { statusCode, headers, body } = await pool.request({
    method: "POST",
    path: request.url ?? "/",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(asked),
  });
  response.writeHead(statusCode, { "content-type": String(headers["content-type"] ?? "application/json") });
  if (asked.stream !== true) {
    response.end(JSON.stringify(JSON.parse(await body.text())));
    return;
  }
  for await (const piece of body) response.write(piece);
  response.end();
}
