// Everything a server holds, looked through byte by byte: what an erase has left of a session.
import type { Bus } from "#runtime/nats/connect.ts";

export interface Trace {
  readonly stream: string;
  readonly subject: string;
  /** What was found, and where. */
  readonly needle: string;
  readonly where: "subject" | "headers" | "body";
}

const PAGE = 256;

/** Every message of every stream and bucket that names one of the needles, in subject, headers or body. */
export async function scan(bus: Bus, needles: readonly string[]): Promise<Trace[]> {
  const traces: Trace[] = [];
  for await (const { config } of bus.jsm.streams.list())
    for await (const message of messagesOf(bus, config.name))
      for (const needle of needles)
        for (const where of ["subject", "headers", "body"] as const)
          if (message[where].includes(needle))
            traces.push({ stream: config.name, subject: message.subject.toString(), needle, where });
  return traces;
}

interface Raw {
  readonly subject: Buffer;
  readonly headers: Buffer;
  readonly body: Buffer;
}

async function* messagesOf(bus: Bus, stream: string): AsyncGenerator<Raw> {
  const { state } = await bus.jsm.streams.info(stream);
  for (let seq = state.first_seq; state.messages > 0 && seq <= state.last_seq; ) {
    const page: Raw[] = [];
    for await (const m of await bus.jsm.direct.getBatch(stream, { seq: Math.max(1, seq), batch: PAGE })) {
      const headers = [...(m.header ?? [])].map(([name, values]) => `${name}: ${values.join(",")}`);
      page.push({
        subject: Buffer.from(m.subject),
        headers: Buffer.from(headers.join("\n")),
        body: Buffer.from(m.data),
      });
      seq = m.seq + 1;
    }
    yield* page;
    if (page.length < PAGE) return;
  }
}
