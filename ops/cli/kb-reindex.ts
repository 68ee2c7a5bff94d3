/** `jetclaw kb reindex`: makes the vectors of all documents anew, beside traffic. */
import { Command, Option } from "commander";
import { natsUrlOf, readSettings } from "../settings.ts";
import { CliFailure } from "./failure.ts";
import { note, print, printJson, progressLine } from "./print.ts";

/** As a shell tells a command that Ctrl-C ended. */
const INTERRUPTED = 130;

interface ReindexFlags {
  readonly nats?: string;
  readonly embedAll?: boolean;
  readonly force?: boolean;
  readonly json?: boolean;
}

export function reindexCommand(): Command {
  return new Command("reindex")
    .description("make the vectors of all documents anew, beside traffic")
    .addOption(
      new Option("--nats <url>", "NATS server (default: JETCLAW_NATS_URL, else the one of `jetclaw up`)"),
    )
    .option("--embed-all", "embed every text again, also those whose vectors are known")
    .option("--force", "use the new vectors however many documents were refused")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Embeddings and Qdrant are those of jetclaw.config.ts and the environment. With Qdrant a new collection is filled and
takes over in one step; in memory each document is replaced. A document that the model or Qdrant refuses is left out and
becomes a dead letter (jetclaw dead ls --stream KNOWLEDGE). When more than 5 documents and more than 1 % of all are
refused, or half of them, it ends with exit code 1 and what was in use stays in use; the next run embeds only what this
one did not; so it does after Ctrl-C. One run at a time: a second one ends with who runs the first; a run that died is taken over.

A new model is filled ahead of time, before any process is started with it:

Examples:
  jetclaw kb reindex
  JETCLAW_EMBEDDINGS_MODEL=bge-m3 jetclaw kb reindex --nats nats://nats:4222`,
    )
    .action(reindexAll);
}

async function reindexAll(flags: ReindexFlags): Promise<void> {
  const settings = readSettings();
  const [{ createLog }, { loadConfig }, { connectTo, provisionFor }, { reindexDocuments }] =
    await Promise.all([
      import("#runtime/observe/log.ts"),
      import("../config.ts"),
      import("../compose/open.ts"),
      import("../compose/reindex.ts"),
    ]);
  const { config } = await loadConfig(settings, { callsModels: false, asks: "embeddings" });
  if (!config.embeddings)
    throw new CliFailure(
      "No embeddings are configured, so there are no vectors. Set JETCLAW_EMBEDDINGS_URL and JETCLAW_EMBEDDINGS_MODEL.",
    );
  const bus = await connectTo(
    flags.nats ?? natsUrlOf(settings),
    "jetclaw-reindex",
    createLog({ level: "error" }),
  );
  const line = progressLine();
  let said = "";
  const say = (now: string): void => {
    said = now;
    line.update(now);
  };
  const began = performance.now();
  const stop = new AbortController();
  const onSignal = (): void => {
    note("\nStopping after what is under way; Ctrl-C again ends at once.");
    stop.abort();
  };
  process.once("SIGINT", onSignal);
  try {
    await provisionFor(bus, config);
    const done = await reindexDocuments(bus, config, {
      embedAll: flags.embedAll,
      force: flags.force,
      signal: stop.signal,
      onWaiting: ({ owner }) =>
        say(`waiting: ${owner} has begun it before, looking for up to 15 s whether it is alive`),
      onProgress: ({ documents, total, embedded }) => {
        const perSecond = documents / ((performance.now() - began) / 1_000);
        const share = Math.min(100, Math.round((100 * documents) / Math.max(1, total)));
        say(
          `${share} %: ${documents} of ${total} documents, ${embedded} texts embedded, ${perSecond.toFixed(0)} documents/s`,
        );
      },
    }).catch((error: unknown) => {
      // What is printed next begins on a line of its own.
      if (said) line.end(said);
      throw error;
    });
    const seconds = (performance.now() - began) / 1_000;
    line.end(`${done.documents} documents in ${seconds.toFixed(1)} s`);
    if (flags.json) return printJson({ ...done, seconds: Number(seconds.toFixed(3)) });
    print(
      `${done.passages} passages of ${done.documents} documents are indexed, ${done.embedded} of them embedded anew, ${done.skipped} documents were newer already, ${done.refused} were refused.`,
    );
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    note("Interrupted. What was in use stays in use; run the same command to go on.");
    process.exitCode = INTERRUPTED;
  } finally {
    process.off("SIGINT", onSignal);
    await bus.close();
  }
}
