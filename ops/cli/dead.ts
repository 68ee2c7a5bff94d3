/** `jetclaw dead`: messages, jobs and documents that could not be processed; look at them, return them, drop them. */
import { Command } from "commander";
import type {
  DeadLetterLine,
  DeadLetterPage,
  ListQuery,
  RedriveResult,
  ShownLetter,
} from "#runtime/actor/dead-letters.ts";
import { usage } from "./failure.ts";
import { adminSubcommand, ask, gatewayOf } from "./gateway.ts";
import { wholeNumber } from "./number-option.ts";
import { note, print, printColumns, printJson, progressLine } from "./print.ts";

interface DeadFlags {
  readonly url?: string;
  readonly key?: string;
  readonly nats?: string;
  readonly json?: boolean;
  readonly tenant?: string;
  readonly session?: string;
  readonly kind?: string;
  readonly stream?: string;
  readonly since?: string;
  readonly limit?: number;
  readonly all?: boolean;
}

/** The same over HTTP and over NATS. */
interface DeadSource {
  list(query: ListQuery): Promise<DeadLetterPage>;
  show(reference: string): Promise<ShownLetter>;
  redrive(reference: string): Promise<RedriveResult>;
  remove(reference: string): Promise<void>;
}

const PAGE = 200;
const UNITS_MS: Readonly<Record<string, number>> = { s: 1e3, m: 6e4, h: 3.6e6, d: 8.64e7 };

export function deadCommand(): Command {
  return new Command("dead")
    .description("messages, jobs and documents that could not be processed: ls, show, redrive, rm")
    .addHelpText(
      "after",
      `
Examples:
  jetclaw dead ls --tenant acme --since 2h
  jetclaw dead show 3f9a1c5b2d7e
  jetclaw dead redrive 3f9a1c5b2d7e
  jetclaw dead redrive --all --kind conversation --since 1d`,
    )
    .addCommand(listCommand())
    .addCommand(showCommand())
    .addCommand(redriveCommand())
    .addCommand(removeCommand());
}

const filtered = (command: Command): Command =>
  command
    .option("--tenant <tenant>", "only of this tenant")
    .option("--session <session>", "only of this session, or key of an actor")
    .option("--kind <kind>", "only of this kind of actor")
    .option("--stream <stream>", "only from this stream, such as INFER-default")
    .option("--since <time>", "only from then on: 30m, 2h, 7d, or a date");

function listCommand(): Command {
  return filtered(adminSubcommand("ls", "list them, the oldest first"))
    .option("--limit <n>", "at most so many", wholeNumber("--limit"))
    .addHelpText("after", "\nExample:\n  jetclaw dead ls --tenant acme --since 2h")
    .action(async (flags: DeadFlags) => {
      const { limit } = flags;
      const letters: DeadLetterLine[] = [];
      await withSource(flags, async (source) => {
        for await (const letter of lettersOf(source, queryOf(flags))) {
          letters.push(letter);
          if (letters.length === limit) break;
        }
      });
      if (flags.json) return printJson({ letters });
      if (letters.length === 0) return note("There are no dead letters.");
      printColumns(
        ["REFERENCE", "AT", "TENANT", "KIND", "KEY", "MESSAGE", "ATTEMPTS", "REASON"],
        letters.map((letter) => [
          letter.reference,
          new Date(letter.at).toISOString().slice(0, 19),
          letter.tenant ?? "?",
          letter.kind ?? letter.stream,
          letter.key ?? "?",
          letter.type ?? "no message",
          letter.attempts,
          letter.reason.split("\n")[0]?.slice(0, 80),
        ]),
      );
    });
}

function showCommand(): Command {
  return adminSubcommand("show", "one of them: reason, attempts, stack, message")
    .argument("<reference>", "as ls shows it, and as the apology to the user says it")
    .addHelpText("after", "\nExample:\n  jetclaw dead show 3f9a1c5b2d7e")
    .action(async (reference: string, flags: DeadFlags) => {
      const letter = await withSource(flags, (source) => source.show(reference));
      if (flags.json) return printJson(letter);
      print(`${letter.reference}  ${new Date(letter.at).toISOString()}  ${letter.subject}`);
      print(letter.reason);
      if (!("envelope" in letter)) {
        print(`${Buffer.byteLength(letter.base64, "base64")} bytes that are no message, base64:`);
        return print(letter.base64);
      }
      for (const { at, host, error } of letter.attempts)
        print(
          `  tried ${new Date(at).toISOString()} on ${host}: ${error ?? "the host ended before it was done"}`,
        );
      if (letter.stack) print(letter.stack);
      printJson(letter.envelope);
    });
}

function redriveCommand(): Command {
  return filtered(
    adminSubcommand("redrive", "return messages to their actors under their original ids; safe to repeat"),
  )
    .argument("[references...]", "as ls shows them")
    .option("--all", "all that the filters name")
    .addHelpText(
      "after",
      "\nExamples:\n  jetclaw dead redrive 3f9a1c5b2d7e\n  jetclaw dead redrive --all --kind basket --since 1d",
    )
    .action((references: string[], flags: DeadFlags) =>
      each(references, flags, "redriven", async (source, reference) => source.redrive(reference)),
    );
}

function removeCommand(): Command {
  return filtered(adminSubcommand("rm", "drop them for good"))
    .argument("[references...]", "as ls shows them")
    .option("--all", "all that the filters name")
    .addHelpText(
      "after",
      "\nExamples:\n  jetclaw dead rm 3f9a1c5b2d7e\n  jetclaw dead rm --all --stream INFER-default",
    )
    .action((references: string[], flags: DeadFlags) =>
      each(references, flags, "dropped", async (source, reference) => {
        await source.remove(reference);
        return "dropped";
      }),
    );
}

type Result = RedriveResult | "dropped" | "unreadable" | "gone";

/** Does it to each, and goes on over those that cannot or need not be. */
async function each(
  references: readonly string[],
  flags: DeadFlags,
  done: string,
  work: (source: DeadSource, reference: string) => Promise<Result>,
): Promise<void> {
  if (references.length > 0 === (flags.all === true))
    throw usage("name references, or --all with filters", "jetclaw dead ls shows the references.");
  const results: { reference: string; result: Result }[] = [];
  const line = progressLine();
  await withSource(flags, async (source) => {
    const chosen = flags.all ? await chosenBy(source, queryOf(flags)) : references;
    for (const reference of chosen) {
      // One that is named must be there; of many some may be gone by the time it is their turn.
      const result = await work(source, reference).catch((error: unknown) => {
        const code = error instanceof Object && "code" in error ? error.code : undefined;
        if (flags.all && code === "dead.unreadable") return "unreadable" as const;
        if (flags.all && code === "dead.not-found") return "gone" as const;
        throw error;
      });
      results.push({ reference, result });
      line.update(`${results.length} of ${chosen.length}`);
    }
  });
  if (flags.json) return printJson({ results });
  const count = (result: Result): number => results.filter((each) => each.result === result).length;
  line.end(
    [
      `${results.length - count("settled") - count("unreadable") - count("gone")} ${done}`,
      count("settled") > 0 ? `${count("settled")} settled meanwhile (jetclaw dead rm drops them)` : "",
      count("unreadable") > 0 ? `${count("unreadable")} not readable (jetclaw dead show, then rm)` : "",
    ]
      .filter(Boolean)
      .join(", "),
  );
}

/** All references first: what a redrive gives up again is a new letter, and would be met again for ever. */
async function chosenBy(source: DeadSource, query: ListQuery): Promise<string[]> {
  const references: string[] = [];
  for await (const { reference } of lettersOf(source, query)) references.push(reference);
  return references;
}

async function* lettersOf(source: DeadSource, query: ListQuery): AsyncGenerator<DeadLetterLine> {
  for (let from: number | undefined; ; ) {
    const { letters, next } = await source.list({ ...query, limit: PAGE, ...(from ? { from } : {}) });
    yield* letters;
    if (next === undefined) return;
    from = next;
  }
}

function queryOf({ tenant, session: key, kind, stream, since }: DeadFlags): ListQuery {
  return { tenant, key, kind, stream, ...(since === undefined ? {} : { sinceAt: timeOf(since) }) };
}

function timeOf(text: string): number {
  const ago = /^(\d+)([smhd])$/.exec(text);
  if (ago) return Date.now() - Number(ago[1]) * (UNITS_MS[ago[2] as string] as number);
  // `Date.parse` takes a bare number for a month or a year.
  const at = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at)) throw usage(`--since is 30m, 2h, 7d or a date such as 2026-11-30, not "${text}"`);
  return at;
}

async function withSource<T>(flags: DeadFlags, work: (source: DeadSource) => Promise<T>): Promise<T> {
  if (flags.nats) return (await import("./direct.ts")).withDead(flags.nats, work);
  const gateway = gatewayOf(flags);
  const at = (reference: string): string => `/v1/admin/dead/${encodeURIComponent(reference)}`;
  return work({
    async list({ key, sinceAt, ...rest }) {
      const asked = { ...rest, session: key, since: sinceAt };
      const params = new URLSearchParams();
      for (const [name, value] of Object.entries(asked))
        if (value !== undefined) params.set(name, String(value));
      return (await ask(gateway, `/v1/admin/dead?${params}`)).body as DeadLetterPage;
    },
    show: async (reference) => (await ask(gateway, at(reference))).body as ShownLetter,
    redrive: async (reference) =>
      ((await ask(gateway, `${at(reference)}/redrive`, { method: "POST" })).body as { result: RedriveResult })
        .result,
    remove: async (reference) => void (await ask(gateway, at(reference), { method: "DELETE" })),
  });
}
