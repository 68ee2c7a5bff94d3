// One TCP line that can be made bad: everything between two processes passes through it. A cut holds the bytes, as a
// network does whose packets are sent again and again: after the healing they arrive, late and in order.
import { connect, createServer, type Server, type Socket } from "node:net";
import { ackedStream, Frames } from "./frames.ts";
import type { Random } from "./random.ts";

export interface LineFault {
  readonly delayMs?: number;
  /** Added to the delay, from minus to plus this. */
  readonly jitterMs?: number;
  /** What does not pass: everything, what the dialling side says, or what the other side answers. */
  readonly cut?: "both" | "toServer" | "toClient";
  /** New connections are closed at once. */
  readonly refused?: boolean;
  /** Of acknowledged appends the share whose acknowledgement is lost. Only on lines of clients. */
  readonly dropAcks?: number;
  /** What the name of a stream whose acknowledgements are dropped begins with. */
  readonly dropOf?: string;
}

export interface LineOptions {
  readonly name: string;
  readonly port: number;
  readonly target: number;
  /** What the server says is NATS' client protocol. */
  readonly client: boolean;
}

export interface LineCounts {
  connections: number;
  /** Connections ever made. */
  made: number;
  droppedAcks: number;
}

type Way = "toServer" | "toClient";

export class Line {
  readonly options: LineOptions;
  readonly counts: LineCounts = { connections: 0, made: 0, droppedAcks: 0 };
  readonly #random: Random;
  readonly #pairs = new Set<{ readonly sockets: readonly Socket[]; readonly wake: () => void }>();
  #fault: LineFault = {};
  #server: Server | undefined;

  constructor(options: LineOptions, random: Random) {
    this.options = options;
    this.#random = random;
  }

  listen(): Promise<void> {
    this.#server = createServer({ noDelay: true }, (socket) => this.#join(socket));
    return new Promise((resolve, reject) => {
      this.#server?.once("error", reject).listen(this.options.port, "127.0.0.1", resolve);
    });
  }

  /** Holds from now on, instead of what was set before; `{}` heals. */
  set(fault: LineFault): void {
    this.#fault = fault;
    for (const { wake } of this.#pairs) wake();
  }

  /** Breaks every connection that stands now. */
  sever(): void {
    for (const { sockets } of this.#pairs) for (const socket of sockets) socket.resetAndDestroy();
  }

  close(): void {
    this.#server?.close();
    this.sever();
  }

  #join(client: Socket): void {
    if (this.#fault.refused) return void client.resetAndDestroy();
    const server = connect({ host: "127.0.0.1", port: this.options.target, noDelay: true });
    const flows = [this.#flow(client, server, "toServer"), this.#flow(server, client, "toClient")];
    const pair = { sockets: [client, server], wake: () => flows.forEach((flow) => void flow()) };
    this.#pairs.add(pair);
    this.counts.connections++;
    this.counts.made++;
    const end = (): void => {
      if (!this.#pairs.delete(pair)) return;
      this.counts.connections--;
      for (const socket of pair.sockets) socket.destroy();
    };
    for (const socket of pair.sockets) socket.on("error", end).on("close", end);
  }

  /** Carries one way. @returns what lets it go on after the fault has changed */
  #flow(from: Socket, to: Socket, way: Way): () => void {
    const frames = this.options.client && way === "toClient" ? new Frames() : undefined;
    const waiting: { readonly data: Buffer; readonly at: number }[] = [];
    let timer: NodeJS.Timeout | undefined;
    const go = (): void => {
      clearTimeout(timer);
      timer = undefined;
      if (this.#isCut(way)) return void from.pause();
      const now = Date.now();
      let full = false;
      while (waiting[0] && waiting[0].at <= now) full = !to.write(waiting.shift()?.data as Buffer) || full;
      if (waiting[0]) timer = setTimeout(go, waiting[0].at - now);
      if (full) from.pause();
      else from.resume();
    };
    from.on("data", (chunk: Buffer) => {
      const passed = frames ? this.#passed(frames.push(chunk)) : chunk;
      if (passed.length === 0) return;
      // Order is kept: nothing leaves before what came before it.
      const at = Math.max(waiting.at(-1)?.at ?? 0, Date.now() + this.#delayMs());
      waiting.push({ data: passed, at });
      go();
    });
    to.on("drain", go);
    from.on("end", () => to.end());
    return go;
  }

  #isCut(way: Way): boolean {
    return this.#fault.cut === "both" || this.#fault.cut === way;
  }

  #delayMs(): number {
    const { delayMs = 0, jitterMs = 0 } = this.#fault;
    return delayMs + jitterMs * (2 * this.#random.next() - 1);
  }

  #passed(frames: readonly Buffer[]): Buffer {
    const { dropAcks = 0, dropOf = "" } = this.#fault;
    if (dropAcks === 0) return frames.length === 1 ? (frames[0] as Buffer) : Buffer.concat(frames);
    return Buffer.concat(
      frames.filter((frame) => {
        if (!ackedStream(frame)?.startsWith(dropOf) || this.#random.next() >= dropAcks) return true;
        this.counts.droppedAcks++;
        return false;
      }),
    );
  }
}
