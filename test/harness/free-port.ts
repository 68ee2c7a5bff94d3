/**
 * A port of this machine for a process that has to be told one. It is free when asked for; nobody holds it until it is
 * used. It lies below those that systems give to outgoing connections, which would take one in between.
 */
import { randomInt } from "node:crypto";
import { reservePort } from "#runtime/nats/server/probe.ts";

const [FIRST, LAST] = [12_000, 32_000];

export async function freePort(): Promise<number> {
  for (;;) {
    const port = await reservePort("127.0.0.1", randomInt(FIRST, LAST));
    if (port !== null) return port;
  }
}
