/** `jetclaw kb vectors`: which models' vectors there are, and the end of those that nobody uses. */
import { Command, Option } from "commander";
import { natsUrlOf, readSettings } from "../settings.ts";
import { note, print, printColumns, printJson } from "./print.ts";

interface VectorsFlags {
  readonly nats?: string;
  readonly removeUnused?: boolean;
  readonly json?: boolean;
}

export function vectorsCommand(): Command {
  return new Command("vectors")
    .description("models whose vectors are stored, and the removal of those that nobody uses")
    .addOption(
      new Option("--nats <url>", "NATS server (default: JETCLAW_NATS_URL, else the one of `jetclaw up`)"),
    )
    .option("--remove-unused", "remove the vectors of models that no process and no configuration uses")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
A model that was replaced keeps its vectors until they are removed: whoever goes back to it has them at once. Run it where
the configuration in force is, with every process started: what is not running does not count as using anything.

Examples:
  jetclaw kb vectors
  jetclaw kb vectors --remove-unused`,
    )
    .action(showVectors);
}

async function showVectors(flags: VectorsFlags): Promise<void> {
  const settings = readSettings();
  const [{ loadConfig }, { withPresence }, { isUnused, knownSpaces, removeVectors }] = await Promise.all([
    import("../config.ts"),
    import("./direct.ts"),
    import("../compose/vector-spaces.ts"),
  ]);
  const { config } = await loadConfig(settings, { callsModels: false, asks: "embeddings" });
  await withPresence(flags.nats ?? natsUrlOf(settings), async (bus, presence) => {
    const spaces = await knownSpaces(bus, presence, config);
    const removed: { space: string; records: number; collections: number }[] = [];
    if (flags.removeUnused)
      for (const { space } of spaces.filter(isUnused))
        removed.push({ space, ...(await removeVectors(bus, config, space)) });
    if (flags.json) return printJson({ spaces, removed });
    for (const { space, records, collections } of removed)
      print(
        `Removed the vectors of ${space}: ${records} documents${collections > 0 ? `, ${collections} collections of Qdrant` : ""}.`,
      );
    if (flags.removeUnused && removed.length === 0)
      return note("Every model whose vectors are stored is in use.");
    if (flags.removeUnused) return;
    if (spaces.length === 0)
      return note("There are no vectors. They are made where embeddings are configured.");
    printColumns(
      ["MODEL", "INDEXED UP TO", "PROCESSES", "STATE"],
      spaces.map((each) => [
        each.space,
        each.indexed,
        each.users,
        isUnused(each) ? "unused" : each.configured ? "configured" : "in use",
      ]),
    );
  });
}
