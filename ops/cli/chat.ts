/** `jetclaw chat`: a conversation in the terminal, answers as they come. */
import { randomBytes } from "node:crypto";
import { createInterface, type Interface } from "node:readline";
import { Command } from "commander";
import { createClient } from "../package/client.ts";
import { reportFailure } from "./failure.ts";
import { gatewayOf, reachesGateway } from "./gateway.ts";
import { forTerminal, note } from "./print.ts";

interface ChatFlags {
  readonly url?: string;
  readonly key?: string;
  readonly session?: string;
  readonly message?: string;
  readonly json?: boolean;
}
type Client = ReturnType<typeof createClient>;
type Conversation = ReturnType<Client["conversation"]>;

export function chatCommand(): Command {
  return reachesGateway(new Command("chat").description("talk to the bot in the terminal"))
    .option("-s, --session <id>", "conversation to go on with (default: a new one)")
    .option("-m, --message <text>", "send one message, print the answer and end")
    .option("--json", "with --message: print the answer as JSON")
    .addHelpText(
      "after",
      `
Ctrl-C stops an answer; at the prompt it ends the chat.

Examples:
  jetclaw chat
  jetclaw chat --session ann
  jetclaw chat -m "How long does delivery take?" --json`,
    )
    .action(async (flags: ChatFlags) => {
      const gateway = gatewayOf(flags);
      await using client = createClient(gateway);
      const session = flags.session ?? `cli-${randomBytes(9).toString("base64url")}`;
      const conversation = client.conversation(session);
      if (flags.message !== undefined) return await once(conversation, flags.message, flags.json === true);
      note(`Conversation ${session} at ${gateway.url}. Ctrl-C stops an answer, then ends the chat.`);
      await talk(conversation);
    });
}

async function once(conversation: Conversation, text: string, json: boolean): Promise<void> {
  const turn = conversation.send(text);
  if (!json) await show(turn);
  const answer = await turn.reply();
  if (json) process.stdout.write(`${JSON.stringify(answer, null, 2)}\n`);
}

async function talk(conversation: Conversation): Promise<void> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout, prompt: "> " });
  let answering = false;
  terminal.on("SIGINT", () => {
    if (!answering) return terminal.close();
    void conversation.stop().catch((error: unknown) => reportFailure(error));
  });
  try {
    for await (const line of lines(terminal)) {
      const text = line.trim();
      if (text === "") continue;
      answering = true;
      try {
        await show(conversation.send(text));
      } catch (error) {
        reportFailure(error);
      }
      answering = false;
    }
  } finally {
    terminal.close();
  }
}

/** Prompts only when the answer before it is complete. Lines that were piped in are all taken, though input has ended. */
async function* lines(terminal: Interface): AsyncGenerator<string> {
  const iterator = terminal[Symbol.asyncIterator]();
  let open = process.stdin.isTTY;
  terminal.once("close", () => {
    open = false;
  });
  for (;;) {
    if (open) terminal.prompt();
    const next = await iterator.next();
    if (next.done) return;
    yield next.value;
  }
}

async function show(turn: ReturnType<Conversation["send"]>): Promise<void> {
  let shown = "";
  for await (const event of turn) {
    if (event.type === "restart" && shown !== "") {
      process.stdout.write("\n(the answer starts again)\n");
      shown = "";
    }
    if (event.type !== "delta") continue;
    shown += event.text ?? "";
    process.stdout.write(forTerminal(event.text ?? ""));
  }
  const answer = await turn.reply();
  // What came in no delta: an answer from the cache, or one that a resumed stream completed.
  if (answer.reply !== shown)
    process.stdout.write(
      forTerminal(answer.reply.startsWith(shown) ? answer.reply.slice(shown.length) : `\n${answer.reply}`),
    );
  process.stdout.write("\n");
  const titles = answer.citations.map(({ title }) => title);
  if (titles.length > 0)
    note(`  from: ${[...new Set(titles)].join(", ")}${answer.cached ? " (cached)" : ""}`);
}
