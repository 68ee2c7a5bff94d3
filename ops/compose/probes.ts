/**
 * `/metrics`, `/healthz` and `/readyz` of a process without a gateway: what Prometheus reads of it and what an
 * orchestrator asks it. No key is needed, as at a gateway: nothing here names anyone.
 */
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { prometheusText } from "#runtime/observe/metrics.ts";
import { listenError } from "./listen.ts";

/** Not by `import`, which loads the undici that is part of Node as well. */
const { createServer } = process.getBuiltinModule("node:http");

export interface Probes {
  readonly port: number;
  close(): Promise<void>;
}

/** Listens. @throws JetclawError `start.refused` */
export async function serveProbes(host: string, port: number, notReady: () => string[]): Promise<Probes> {
  const server = createServer((request, response) => {
    answer(request, response, notReady).catch(() => response.destroy());
  });
  try {
    await once(server.listen(port, host), "listening");
  } catch (error) {
    throw listenError(error, host, port, { host: "--host", port: "--metrics-port" });
  }
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  notReady: () => string[],
): Promise<void> {
  const end = (status: number, type: string, body: string): void => {
    response.writeHead(status, { "content-type": type, "cache-control": "no-store" });
    response.end(request.method === "HEAD" ? undefined : body);
  };
  const json = (status: number, body: object): void => end(status, "application/json", JSON.stringify(body));
  if (request.method !== "GET" && request.method !== "HEAD") return json(405, { status: 405 });
  switch (request.url?.split("?", 1)[0]) {
    case "/metrics":
      return end(200, "text/plain; version=0.0.4; charset=utf-8", await prometheusText());
    case "/healthz":
      return json(200, { status: "ok" });
    case "/readyz": {
      const reasons = notReady();
      return json(reasons.length === 0 ? 200 : 503, { ready: reasons.length === 0, reasons });
    }
    default:
      return json(404, { status: 404, routes: ["/metrics", "/healthz", "/readyz"] });
  }
}
