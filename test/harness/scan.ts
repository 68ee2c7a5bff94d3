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
/** The server's words for "nothing at or after that sequence" and "no such stream". */
const NO_MESSAGE = 404;
const NO_STREAM = 10059;

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
  readonly seq: number;
  readonly subject: Buffer;
  readonly headers: Buffer;
  readonly body: Buffer;
}

/** A stream changes while it is read: what was purged or deleted since is not there. */
async function* messagesOf(bus: Bus, stream: string): AsyncGenerator<Raw> {
  const state = await stateOf(bus, stream);
  for (let seq = state?.first_seq ?? 1, last = state?.last_seq ?? 0; seq <= last; ) {
    const page = await pageOf(bus, stream, seq);
    if (page.length === 0) return;
    yield* page;
    seq = (page.at(-1)?.seq ?? last) + 1;
  }
}

async function stateOf(bus: Bus, stream: string) {
  try {
    return (await bus.jsm.streams.info(stream)).state;
  } catch (error) {
    if (codeOf(error) === NO_STREAM) return undefined;
    throw error;
  }
}

async function pageOf(bus: Bus, stream: string, seq: number): Promise<Raw[]> {
  const page: Raw[] = [];
  try {
    for await (const m of await bus.jsm.direct.getBatch(stream, { seq: Math.max(1, seq), batch: PAGE })) {
      const headers = [...(m.header ?? [])].map(([name, values]) => `${name}: ${values.join(",")}`);
      page.push({
        seq: m.seq,
        subject: Buffer.from(m.subject),
        headers: Buffer.from(headers.join("\n")),
        body: Buffer.from(m.data),
      });
    }
  } catch (error) {
    if (codeOf(error) !== NO_MESSAGE && (await stateOf(bus, stream))) throw error;
    return [];
  }
  return page;
}

const codeOf = (error: unknown): unknown =>
  error instanceof Error && "code" in error ? error.code : undefined;
