/** `jetclaw sessions`: conversations; look at them, erase them, export their turns and bring them back. */
import { Command } from "commander";
import type { SessionLine, SessionPage } from "#actors/conversation/port.ts";
import type { EraseReceipt, Transcript } from "#contracts/turn.ts";
import { usage } from "./failure.ts";
import { adminSubcommand, ask, gatewayOf } from "./gateway.ts";
import { wholeNumber } from "./number-option.ts";
import { note, print, printColumns, printJson, progressLine } from "./print.ts";

interface SessionsFlags {
  readonly url?: string;
  readonly key?: string;
  readonly nats?: string;
  readonly json?: boolean;
  readonly tenant?: string;
  readonly session?: string;
  readonly limit?: number;
  readonly to?: string;
  readonly from?: string;
  readonly before?: string;
  readonly since?: string;
  readonly until?: string;
  readonly force?: boolean;
}

interface SessionSource {
  list(query: {
    tenant?: string | undefined;
    from?: string | undefined;
    limit: number;
  }): Promise<SessionPage>;
  transcript(tenant: string, session: string): Promise<Transcript>;
  erase(tenant: string, session: string): Promise<EraseReceipt>;
}

const PAGE = 200;
const DEFAULT_TENANT = "demo";
const DAY = /^\d{4}-\d{2}-\d{2}$/;

export function sessionsCommand(): Command {
  return new Command("sessions")
    .description("conversations: ls, show, erase, export, restore")
    .addHelpText(
      "after",
      `
Examples:
  jetclaw sessions ls --tenant acme
  jetclaw sessions show ann --tenant acme
  jetclaw sessions erase ann --tenant acme
  jetclaw sessions export --to file:///backup/turns
  jetclaw sessions restore --from s3://backup/turns --tenant acme --session ann`,
    )
    .addCommand(listCommand())
    .addCommand(showCommand())
    .addCommand(eraseCommand())
    .addCommand(exportCommand())
    .addCommand(restoreCommand());
}

const ofTenant = (command: Command): Command =>
  command.option("--tenant <tenant>", "whose conversation it is", DEFAULT_TENANT);

function listCommand(): Command {
  return adminSubcommand("ls", "list conversations, without their texts")
    .option("--tenant <tenant>", "only of this tenant")
    .option("--limit <n>", "at most so many", wholeNumber("--limit"))
    .addHelpText("after", "\nExample:\n  jetclaw sessions ls --tenant acme --limit 50")
    .action(async (flags: SessionsFlags) => {
      const { limit = Number.POSITIVE_INFINITY } = flags;
      const sessions: SessionLine[] = [];
      await withSource(flags, async (source) => {
        for (let from: string | undefined; sessions.length < limit; ) {
          const page = await source.list({
            tenant: flags.tenant,
            from,
            limit: Math.min(PAGE, limit - sessions.length),
          });
          sessions.push(...page.sessions);
          if (page.next === undefined) break;
          from = page.next;
        }
      });
      if (flags.json) return printJson({ sessions });
      if (sessions.length === 0) return note("There are no conversations.");
      printColumns(
        ["TENANT", "SESSION", "STATUS", "TURNS", "CHANNEL", "SINCE", "BYTES"],
        sessions.map((line) => [
          line.tenant,
          line.session,
          line.status,
          line.turns,
          line.channel,
          new Date(line.createdAt).toISOString().slice(0, 16),
          line.bytes,
        ]),
      );
    });
}

function showCommand(): Command {
  return ofTenant(adminSubcommand("show", "a conversation's transcript"))
    .argument("<session>", "its id")
    .addHelpText("after", "\nExample:\n  jetclaw sessions show ann --tenant acme")
    .action(async (session: string, flags: SessionsFlags) => {
      const transcript = await withSource(flags, (source) =>
        source.transcript(flags.tenant as string, session),
      );
      if (flags.json) return printJson(transcript);
      print(`${transcript.session}: ${transcript.status}`);
      for (const turn of transcript.turns) {
        for (const { text } of turn.messages) print(`\n${turn.turn} > ${text}`);
        print(turn.reply ?? "(not answered yet)");
      }
    });
}

function eraseCommand(): Command {
  return ofTenant(adminSubcommand("erase", "erase a conversation and all that is kept of it"))
    .argument("<session>", "its id")
    .addHelpText("after", "\nExample:\n  jetclaw sessions erase ann --tenant acme")
    .action(async (session: string, flags: SessionsFlags) => {
      const receipt = await withSource(flags, (source) => source.erase(flags.tenant as string, session));
      if (flags.json) return printJson(receipt);
      print(receipt.id);
      note(`Erased: ${receipt.turns} turns. The line above is the receipt. Exports keep what they hold.`);
    });
}

function exportCommand(): Command {
  return adminSubcommand(
    "export",
    "write closed turns to an archive, over NATS; goes on where the last export ended",
  )
    .requiredOption("--to <url>", "a folder, file:///folder, or s3://bucket/prefix")
    .option("--tenant <tenant>", "only of this tenant, listed apart")
    .option("--before <day>", "only days before this one, yyyy-mm-dd; the days that are over when left out")
    .addHelpText("after", "\nExample:\n  jetclaw sessions export --to s3://backup/turns")
    .action(async (flags: SessionsFlags) => {
      const beforeAt = flags.before === undefined ? undefined : Date.parse(dayOf("--before", flags.before));
      const line = progressLine();
      const { exportAll } = await import("./direct-sessions.ts");
      const sum = await exportAll(
        flags.nats,
        flags.to as string,
        { tenant: flags.tenant, beforeAt },
        (text) => line.update(text),
      );
      if (flags.json) printJson(sum);
      else line.end(`${sum.records} records in ${sum.parts} parts, each read back and checked`);
    });
}

function restoreCommand(): Command {
  return adminSubcommand(
    "restore",
    "bring exported turns back, over NATS; what is there or was erased is left alone",
  )
    .requiredOption("--from <url>", "where they were exported to")
    .option("--tenant <tenant>", "only of this tenant")
    .option("--session <session>", "only of this conversation")
    .option("--since <day>", "from this day on, yyyy-mm-dd")
    .option("--until <day>", "up to this day")
    .option("--force", "also days so long ago that nobody knows any more who was erased since")
    .addHelpText(
      "after",
      "\nExample:\n  jetclaw sessions restore --from s3://backup/turns --tenant acme --since 2026-11-01",
    )
    .action(async (flags: SessionsFlags) => {
      for (const [name, day] of [
        ["--since", flags.since],
        ["--until", flags.until],
      ] as const)
        if (day !== undefined) dayOf(name, day);
      const line = progressLine();
      const { restoreAll } = await import("./direct-sessions.ts");
      const { tenant, session, since, until, force } = flags;
      const sum = await restoreAll(
        flags.nats,
        flags.from as string,
        { tenant, session, since, until, force },
        (text) => line.update(text),
      );
      if (flags.json) printJson(sum);
      else
        line.end(
          `${sum.restored} records restored, ${sum.present} were there, ${sum.erased} of erased conversations left out`,
        );
    });
}

function dayOf(flag: string, day: string): string {
  // The 30th of February is the 2nd of March to `Date.parse`.
  if (!DAY.test(day) || !new Date(Date.parse(day) || 0).toISOString().startsWith(day))
    throw usage(`${flag} is a day like 2026-11-30, not "${day}"`);
  return day;
}

async function withSource<T>(flags: SessionsFlags, work: (source: SessionSource) => Promise<T>): Promise<T> {
  if (flags.nats) return (await import("./direct-sessions.ts")).withSessions(flags.nats, work);
  const gateway = gatewayOf(flags);
  const at = (...ids: string[]): string => `/v1/admin/sessions/${ids.map(encodeURIComponent).join("/")}`;
  return work({
    async list(query) {
      const params = new URLSearchParams();
      for (const [name, value] of Object.entries(query))
        if (value !== undefined) params.set(name, String(value));
      return (await ask(gateway, `/v1/admin/sessions?${params}`)).body as SessionPage;
    },
    transcript: async (tenant, session) => (await ask(gateway, at(tenant, session))).body as Transcript,
    erase: async (tenant, session) =>
      (await ask(gateway, at(tenant, session), { method: "DELETE" })).body as EraseReceipt,
  });
}
