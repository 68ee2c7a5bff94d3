// Cuts what a NATS server sends to a client into protocol messages, as far as a line needs it that drops some of them.
// Source: the client protocol of NATS: MSG and HMSG name the bytes of their payload last on their first line.

const LF = 10;

export class Frames {
  #rest: Buffer = Buffer.alloc(0);

  /** The whole messages that are there now; what is begun is kept for the next call. */
  push(chunk: Buffer): Buffer[] {
    const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const frames: Buffer[] = [];
    let from = 0;
    for (;;) {
      const end = data.indexOf(LF, from);
      if (end < 0) break;
      const upTo = end + 1 + payloadBytes(data.toString("latin1", from, end));
      if (upTo > data.length) break;
      frames.push(data.subarray(from, upTo));
      from = upTo;
    }
    this.#rest = data.subarray(from);
    return frames;
  }
}

function payloadBytes(head: string): number {
  if (!head.startsWith("MSG ") && !head.startsWith("HMSG ")) return 0;
  // The payload ends with CR LF of its own.
  return Number(head.slice(head.lastIndexOf(" ") + 1).trim()) + 2;
}

/** The stream that a frame acknowledges an append of; undefined when it is anything else. */
export function ackedStream(frame: Buffer): string | undefined {
  if (!frame.subarray(0, 11).equals(INBOX)) return undefined;
  const body = frame.subarray(frame.indexOf(LF) + 1);
  if (!body.subarray(0, ACK.length).equals(ACK) || body.indexOf('"seq"') < 0) return undefined;
  return body.toString("latin1", ACK.length, body.indexOf('"', ACK.length));
}

const INBOX = Buffer.from("MSG _INBOX.");
const ACK = Buffer.from('{"stream":"');
