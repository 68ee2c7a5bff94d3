// Provider addresses that the simulator cannot play: several keys at one address, and a machine that takes no connection.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";

/** One address, three keys: one has no quota left, one is refused, one works. */
export async function keyedServer(keys: string[]): Promise<{ server: Server; baseUrl: string }> {
  const server = createServer((request, response) => {
    const key = (request.headers.authorization ?? "").slice("Bearer ".length);
    keys.push(key);
    request.resume();
    if (key === "empty") {
      response.writeHead(429, {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1m0s",
      });
      return response.end(JSON.stringify({ error: { message: "slow down", code: "rate_limit_exceeded" } }));
    }
    if (key === "refused") {
      response.writeHead(401);
      return response.end(JSON.stringify({ error: { message: "no", code: "invalid_api_key" } }));
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    const chunk = { choices: [{ index: 0, delta: { content: "fine" }, finish_reason: "stop" }] };
    return response.end(`data: ${JSON.stringify(chunk)}\n\ndata: [DONE]\n\n`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1` };
}

/** An address that answers no SYN: a stopped process whose backlog is full. */
export async function frozenServer(): Promise<{ baseUrl: string; end(): void }> {
  const listen = `const s = require("net").createServer().listen(0, "127.0.0.1", 1, () => console.log(s.address().port))`;
  const child = spawn(process.execPath, ["-e", listen]);
  const port = await new Promise<number>((resolve) => {
    child.stdout.once("data", (text) => resolve(Number(text)));
  });
  child.kill("SIGSTOP");
  const sockets = Array.from({ length: 6 }, () => connect(port, "127.0.0.1").on("error", () => {}));
  await Promise.all(sockets.slice(0, 1).map((socket) => once(socket, "connect")));
  return {
    baseUrl: `http://127.0.0.1:${port}/v1`,
    end() {
      for (const socket of sockets) socket.destroy();
      child.kill("SIGKILL");
    },
  };
}
