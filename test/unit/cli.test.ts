import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { expect, test } from "vitest";
import { program } from "#ops/cli/main.ts";
import { columns } from "#ops/cli/print.ts";
import { ROLES } from "#ops/compose/roles.ts";

const README = readFileSync(fileURLToPath(new URL("../../ops/cli/README.md", import.meta.url)), "utf8");

/** The help as a user sees it, examples included. */
function helpOf(command: Command): string {
  let text = "";
  command.configureOutput({ writeOut: (part) => (text += part) });
  command.outputHelp();
  return text;
}

const isLeaf = (command: Command): boolean => command.commands.length === 0;
const leaves = (command: Command): Command[] =>
  isLeaf(command) ? [command] : command.commands.flatMap(leaves);

test("every command says what it does and shows an example", async () => {
  const silent = leaves(await program()).filter(
    (command) => !/Examples?:/.test(helpOf(command)) || command.description() === "",
  );
  expect(silent.map((command) => command.name())).toEqual([]);
});

test("the README lists the commands and the roles", async () => {
  const names = (await program()).commands
    .flatMap((command) => [command, ...command.commands])
    .map((command) => command.name());
  const known = names.filter((name) => README.includes(`\`${name}`) || README.includes(` ${name}\``));
  expect(known).toEqual(names);
  for (const role of Object.keys(ROLES)) expect(README).toContain(`\`${role}`);
});

test("what prints data can print it as JSON", async () => {
  const printing = [
    "kb put",
    "kb get",
    "kb rm",
    "kb ls",
    "kb import",
    "status",
    "level",
    "doctor",
    "keys create",
    "keys ls",
    "keys revoke",
    "provision",
    "turns",
    "affinity",
    "route explain",
    "chat",
  ];
  const commands = leaves(await program());
  const without = printing.filter((path) => {
    const name = path.split(" ").at(-1);
    const parent = path.includes(" ") ? path.split(" ")[0] : undefined;
    const command = commands.find(
      (each) => each.name() === name && (!parent || each.parent?.name() === parent),
    );
    return !command?.options.some((option) => option.long === "--json");
  });
  expect(without).toEqual([]);
});

test("columns are as wide as their widest cell, numbers stand right", () => {
  expect(
    columns(
      ["NAME", "N"],
      [
        ["a", 1],
        ["long name", 123],
      ],
    ),
  ).toBe("NAME         N\na            1\nlong name  123");
});
