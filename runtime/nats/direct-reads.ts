/**
 * What a socket hears goes to the parser of nats.js at once. nats.js hands every piece over in an asynchronous generator:
 * half a dozen promises for each, and a process that is handed one job at a time hears one piece a job. It does not go
 * through the stream's queue either, which nobody needs who never pauses. And a socket that is given up is closed at once.
 */
import type { NatsConnection } from "@nats-io/transport-node";
import type { Log } from "../observe/log.ts";

/** What is used of the inside of nats.js 3; where a version has it no more, nothing is changed. */
interface Inside {
  readonly protocol?: {
    prepare?: () => unknown;
    readonly parser?: { parse?: (bytes: Uint8Array) => void };
    readonly transport?: Transport;
  };
}
interface Transport {
  setupHandlers?: () => void;
  /** Pieces that wait for the generator. */
  readonly yields?: readonly Uint8Array[];
  readonly signal?: { resolve?: () => void };
  /** `push` is how Node hands over what a socket read; null is its end. */
  readonly socket?: { push?: (bytes: Uint8Array | null) => boolean };
  disconnect?: () => void;
  close?: () => Promise<void>;
}

/** To be called once, when the connection stands. */
export function readDirectly(nc: NatsConnection, log: Log): void {
  const protocol = (nc as unknown as Inside).protocol;
  if (!protocol?.transport || typeof protocol.prepare !== "function" || !protocol.parser?.parse) return;
  const listen = (transport: Transport): void => {
    const { socket } = transport;
    // nats.js writes out first what still waits to be written, for ever where the server does not read any more.
    if (transport.close) transport.disconnect = () => void transport.close?.();
    const push = socket?.push?.bind(socket);
    if (!socket || !push) return;
    socket.push = (bytes) => {
      // Behind what the generator still has, in order.
      if (bytes === null || transport.yields?.length !== 0) return push(bytes);
      try {
        protocol.parser?.parse?.(bytes);
      } catch (err) {
        // What comes behind is all that was read: messages, which nobody wants in a log.
        const reason = String(err).split(":", 2).join(":");
        log.error({ reason }, "the NATS server cannot be understood, connecting anew");
        transport.disconnect?.();
      }
      return true;
    };
  };
  listen(protocol.transport);
  const prepare = protocol.prepare.bind(protocol);
  protocol.prepare = () => {
    const pong = prepare();
    const { transport } = protocol;
    const setupHandlers = transport?.setupHandlers?.bind(transport);
    if (transport && setupHandlers)
      transport.setupHandlers = () => {
        setupHandlers();
        listen(transport);
      };
    return pong;
  };
}
