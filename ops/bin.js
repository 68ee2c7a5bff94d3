#!/usr/bin/env node
// The way in, for a clone and for the installed package alike. It is plain JavaScript for the oldest Node a
// machine may carry; in a clone it hands over to bootstrap.js, which is not part of the published package.
import { existsSync } from "node:fs";
import { dirname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { keepCompiled } from "./cache-folder.js";
import { endWithNpm } from "./parent.js";

endWithNpm();
keepCompiled();
const here = dirname(fileURLToPath(import.meta.url));
// Node refuses to strip types inside node_modules, so a clone that is installed there runs from dist/ as well.
const isClone = existsSync(join(here, "bootstrap.js")) && !here.includes(`${sep}node_modules${sep}`);

if (isClone) {
  const { boot } = await import("./bootstrap.js");
  await boot(process.argv.slice(2));
} else {
  await startPackage(process.argv.slice(2));
}

/** @param {string[]} args */
async function startPackage(args) {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major < 22 || (major === 22 && minor < 18)) {
    fail(
      `jetclaw needs Node 22.18 or newer, and this is ${process.version}.`,
      "Install Node 24 (https://nodejs.org), or run: npx --package=node@24 --package=jetclaw jetclaw",
    );
  }
  if (args[0] === "tool") fail("`jetclaw tool` is for a clone of the repository.", "See `jetclaw --help`.");
  const entry = new URL("../dist/ops/cli/main.js", import.meta.url);
  if (!existsSync(fileURLToPath(entry))) {
    fail("This package holds no built files.", "Install it again, or run `npm run build` in its clone.");
  }
  const { main } = await import(entry.href);
  await main(args);
}

/**
 * @param {string} cause
 * @param {string} nextStep
 * @returns {never}
 */
function fail(cause, nextStep) {
  console.error(`${cause}\n${nextStep}`);
  process.exit(1);
}
