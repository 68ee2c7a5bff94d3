/**
 * One socket write for all that one turn of the event loop publishes. nats.js flushes in the microtask after the first
 * publish, so hosts, whose actors go on in microtasks of their own, wrote every message by itself: two system calls and
 * a wake-up of the server each, half of the CPU of both. Here the flush waits until all that is due in this turn has run,
 * timers too: a worker that streams has a timer for each answer, and a write for each chunk was a fifth of its CPU.
 * What is published goes straight into the bytes that are written: nats.js makes three arrays a message, joins them, and
 * makes a promise of every write.
 */
import type { NatsConnection } from "@nats-io/transport-node";
import { Outbound } from "./outbound.ts";

/** What is used of the inside of nats.js 3; where a version has it no more, nothing is changed. */
interface Inside {
  readonly protocol?: {
    outbound?: Partial<Outbound>;
    sendCommand?: (command: string | Uint8Array, ...payloads: Uint8Array[]) => void;
    flushPending?: () => void;
    readonly connected?: boolean;
    readonly infoReceived?: boolean;
    readonly transport?: Transport;
  };
}
interface Transport {
  readonly isClosed?: boolean;
  isEncrypted?(): boolean;
  readonly socket?: {
    write(bytes: Uint8Array): unknown;
    readonly writable?: boolean;
    /** What a stream still has of its own; what the system has is not counted. */
    readonly writableLength?: number;
    _write?(bytes: Uint8Array, encoding: "buffer", written: (error?: Error | null) => void): void;
    destroy?(error: Error): unknown;
  };
}

/** Beyond this many bytes a flush does not wait: the socket should be busy, not the memory full. */
const WAIT_BELOW_BYTES = 256 * 1024;

export interface Writes {
  /** Called once, just before the next write at the end of a turn, which there will be soon. */
  before(publish: () => void): void;
  /**
   * Writes what waits at once, but only the first time in a turn: for the few messages for which somebody waits. It saves
   * them the rest of the turn, and a busy process has one write more for all of them together.
   */
  now(): void;
}

/** To be called once, when the connection stands and nothing waits to be sent. */
export function batchWrites(nc: NatsConnection): Writes {
  const protocol = (nc as unknown as Inside).protocol;
  if (
    typeof protocol?.flushPending !== "function" ||
    typeof protocol.sendCommand !== "function" ||
    !protocol.transport?.socket ||
    protocol.outbound?.size?.() !== 0
  )
    return { before: (publish) => void setImmediate(publish), now() {} };
  const outbound = new Outbound();
  protocol.outbound = outbound;
  const write = (): void => {
    if (outbound.size() === 0 || !protocol.infoReceived || !protocol.connected) return;
    writeTo(protocol.transport, outbound.drain());
  };
  const before: (() => void)[] = [];
  let waiting = false;
  let hurried = false;
  const writeSoon = (): void => {
    if (waiting) return;
    waiting = true;
    setImmediate(() => {
      for (let publish = before.pop(); publish; publish = before.pop()) publish();
      waiting = hurried = false;
      write();
    });
  };
  const flush = (): void => (outbound.size() >= WAIT_BELOW_BYTES ? write() : writeSoon());
  protocol.flushPending = flush;
  protocol.sendCommand = (command, ...payloads) => {
    if (typeof command === "string") outbound.say(command);
    else outbound.fill(command);
    outbound.fill(...payloads);
    flush();
  };
  return {
    before(publish) {
      before.push(publish);
      writeSoon();
    },
    now() {
      if (hurried) return;
      hurried = true;
      write();
      writeSoon();
    },
  };
}

/**
 * Past the stream's own queue, which is for writers that wait for a drain. An error of the socket ends the connection.
 * TLS takes one write at a time, which its queue sees to.
 */
function writeTo(transport: Transport | undefined, bytes: Uint8Array): void {
  const socket = transport?.socket;
  if (!socket || transport.isClosed) return;
  if (socket._write && socket.writable && socket.writableLength === 0 && transport.isEncrypted?.() === false)
    socket._write(bytes, "buffer", (error) => void (error && socket.destroy?.(error)));
  else socket.write(bytes);
}
