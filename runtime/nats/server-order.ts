/**
 * After a loss another server is tried first. nats.js does so too, but for the first loss of a connection: it tries the
 * server again that it began with, so a client that left a server which is cut off came back to it, and one whose server
 * had vanished without a word waited for it.
 */
import type { NatsConnection } from "@nats-io/transport-node";

/** What is used of the inside of nats.js 3; where a version has it no more, nothing is changed. */
interface Inside {
  readonly protocol?: {
    readonly servers?: {
      getServers?: () => readonly unknown[];
      getCurrentServer?: () => unknown;
      /** Puts the next server last and makes it the current one. */
      selectServer?: () => unknown;
    };
  };
}

/** To be called once, when the connection stands. */
export function tryOthersFirst(nc: NatsConnection): void {
  const servers = (nc as unknown as Inside).protocol?.servers;
  if (!servers?.getServers || !servers.getCurrentServer || !servers.selectServer) return;
  const current = servers.getCurrentServer();
  for (let left = servers.getServers().length; left > 0 && servers.getServers().at(-1) !== current; left--)
    servers.selectServer();
}
