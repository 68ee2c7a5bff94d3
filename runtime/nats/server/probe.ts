// Asks a TCP port who answers there. A NATS server greets with INFO before anything is sent to it, which tells
// readiness and identity in one round trip, without a client library.
import { connect, createServer } from "node:net";

export interface ServerInfo {
  readonly name: string;
  readonly version: string;
  readonly jetstream: boolean;
}

export type Answer =
  | { readonly kind: "nats"; readonly info: ServerInfo }
  | { readonly kind: "other" }
  /** Accepts, and says nothing. */
  | { readonly kind: "silent" }
  /** Neither accepts nor refuses: what is sent there is lost on the way. */
  | { readonly kind: "lost" }
  | { readonly kind: "closed" };

const GREETING = /^INFO (\{.*\})\s*\r?\n/;

export function probe(host: string, port: number, limitMs: number): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    let text = "";
    let accepted = false;
    const finish = (answer: Answer) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    // A frozen server still accepts connections, because its kernel does that: only the greeting proves life.
    const timer = setTimeout(() => finish({ kind: accepted ? "silent" : "lost" }), limitMs);
    socket.on("connect", () => {
      accepted = true;
    });
    socket.on("error", () => finish({ kind: "closed" }));
    socket.on("close", () => finish(text === "" ? { kind: "closed" } : { kind: "other" }));
    socket.on("data", (data) => {
      text += data.toString("utf8");
      const greeting = GREETING.exec(text)?.[1];
      if (greeting !== undefined) finish(readGreeting(greeting));
      else if (text.includes("\n") || text.length > 65_536) finish({ kind: "other" });
    });
  });
}

function readGreeting(json: string): Answer {
  try {
    const fields: unknown = JSON.parse(json);
    if (typeof fields !== "object" || fields === null) return { kind: "other" };
    const { server_name, version, jetstream } = fields as Record<string, unknown>;
    return {
      kind: "nats",
      info: { name: String(server_name), version: String(version), jetstream: jetstream === true },
    };
  } catch {
    return { kind: "other" };
  }
}

/** Port 0 asks the system for a free one; any other port is tried as it is. Returns null when it is taken. */
export function reservePort(host: string, port: number): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve(null);
      else reject(error);
    });
    server.listen({ host, port, exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(address !== null && typeof address === "object" ? address.port : null));
    });
  });
}
