// The rules of the house that the linter cannot hold: what stands where, who may know whom, and that the documents
// say what the code does. Each rule returns what breaks it, so that a failure names the lines.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { ERRORS } from "#contracts/errors.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const TOP = new Set([
  ...["actors", "contracts", "ops", "runtime", "test"],
  ...[
    "nats.conf",
    "package.json",
    "package-lock.json",
    "tsconfig.json",
    "biome.json",
    "README.md",
    "LICENSE",
  ],
  ...[".ci", ".github", ".gitignore", ".gitattributes", ".dockerignore"],
]);
const LAYERS = ["contracts", "runtime", "actors", "ops", "test"];
/** The order in which a turn passes the rooms: a room sees the ports of those below it. */
const ROOMS = [
  ...["gateway", "channels", "conversation", "cache", "knowledge"],
  ...["routing", "budget", "inference", "tools", "governor"],
];
const FORBIDDEN_NAMES = /(^|[-_.])(utils?|helpers?|common|managers?)([-_.]|$)/;
const MAX_LINES = 400;
/** Longer than the house allows, for a reason; a file may leave this list or shrink, never grow. */
const LONGER: Readonly<Record<string, number>> = {};

/** Committed or about to be, so that the rules hold before the commit as well. */
const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { cwd: ROOT })
  .toString("utf8")
  .split("\n")
  .filter((file) => file !== "" && existsSync(join(ROOT, file)));
const sources = files.filter((file) => /\.(ts|tsx|js)$/.test(file) && !file.startsWith("test/"));
const code = files.filter((file) => /\.(ts|tsx|js)$/.test(file));

interface Import {
  readonly file: string;
  readonly from: string;
  readonly typeOnly: boolean;
  /** Loaded when the code comes to it. */
  readonly later: boolean;
}

function read(file: string): string {
  return readFileSync(join(ROOT, file), "utf8");
}

/** Comments may mention what code may not do. */
function codeOf(file: string): string {
  return read(file)
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ""))
    .replace(/(^|\s)\/\/.*$/gm, "$1");
}

function importsOf(file: string): Import[] {
  const statement =
    /^\s*(?:import|export)\s+(type\s)?[^;'"`]*?from\s+["']([^"']+)["']|^\s*import\s+["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']\s*\)/gm;
  return [...codeOf(file).matchAll(statement)].map((match) => ({
    file,
    from: match[2] ?? match[3] ?? match[4] ?? "",
    typeOnly: match[1] !== undefined,
    later: match[4] !== undefined,
  }));
}

const imports = sources.flatMap(importsOf);

function describeImport({ file, from }: Import): string {
  return `${file} imports ${from}`;
}

/** The files among `candidates` where the code holds the pattern, with its lines. */
function linesWith(candidates: readonly string[], pattern: RegExp): string[] {
  return candidates.flatMap((file) =>
    codeOf(file)
      .split("\n")
      .flatMap((line, index) => (pattern.test(line) ? [`${file}:${index + 1}: ${line.trim()}`] : [])),
  );
}

describe("the layout", () => {
  test("the top level holds only what belongs there", () => {
    const tops = new Set(files.map((file) => file.split("/")[0] ?? ""));
    expect([...tops].filter((top) => !TOP.has(top))).toEqual([]);
  });

  test("every room is one that a turn passes", () => {
    const rooms = new Set(
      files.filter((file) => /^actors\/[^/]+\//.test(file)).map((file) => file.split("/")[1]),
    );
    expect([...rooms].filter((room) => !ROOMS.includes(room ?? ""))).toEqual([]);
  });

  test("every top-level folder and every room has a README", () => {
    const folders = LAYERS.concat(ROOMS.map((room) => `actors/${room}`));
    const lived = folders.filter((folder) =>
      sources.concat(code).some((file) => file.startsWith(`${folder}/`)),
    );
    expect(lived.filter((folder) => !existsSync(join(ROOT, folder, "README.md")))).toEqual([]);
  });

  test("no file has a name that says nothing", () => {
    const names = code.filter((file) =>
      FORBIDDEN_NAMES.test((file.split("/").at(-1) ?? "").replace(/\.\w+$/, "")),
    );
    expect(names).toEqual([]);
  });

  test("no file is longer than the house allows", () => {
    const long = code.flatMap((file) => {
      const lines = read(file).split("\n").length - 1;
      return lines > (LONGER[file] ?? MAX_LINES) ? [`${file}: ${lines} lines`] : [];
    });
    expect(long).toEqual([]);
  });
});

describe("who may know whom", () => {
  test("folders import downwards only", () => {
    const upwards = imports.filter(({ file, from }) => {
      const own = LAYERS.indexOf(file.split("/")[0] ?? "");
      const other = LAYERS.indexOf(/^#(\w+)\//.exec(from)?.[1] ?? "");
      return other > own;
    });
    expect(upwards.map(describeImport)).toEqual([]);
  });

  test("imports name the other folder by # and never climb out by ../..", () => {
    const climbing = code.flatMap(importsOf).filter(({ from }) => from.startsWith("../.."));
    expect(climbing.map(describeImport)).toEqual([]);
  });

  test("a room sees of another one only the types in its port, and only below it", () => {
    const wrong = imports.filter(({ file, from, typeOnly }) => {
      const own = /^actors\/([^/]+)\//.exec(file)?.[1];
      const other = /^#actors\/([^/]+)\//.exec(from)?.[1] ?? /^\.\.\/(\w+)\//.exec(from)?.[1];
      if (own === undefined || other === undefined || own === other || !ROOMS.includes(other)) return false;
      const below = ROOMS.indexOf(other) > ROOMS.indexOf(own);
      return !(typeOnly && from.endsWith(`${other}/port.ts`) && below);
    });
    expect(wrong.map(describeImport)).toEqual([]);
  });

  test("only runtime/nats imports the NATS client", () => {
    const wrong = imports.filter(
      ({ file, from }) => from.startsWith("@nats-io/") && !file.startsWith("runtime/nats/"),
    );
    expect(wrong.map(describeImport)).toEqual([]);
  });

  test("contracts do no input or output and read no clock", () => {
    const contracts = sources.filter((file) => file.startsWith("contracts/"));
    expect(
      linesWith(contracts, /\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(|\bsetTimeout\(|\bfetch\(/),
    ).toEqual([]);
  });

  test("the environment, the exit and signals belong to ops", () => {
    const inner = sources.filter((file) => !file.startsWith("ops/"));
    expect(
      linesWith(inner, /\bprocess\.(env\b|exit\(|exitCode\b|abort\()|\bprocess\.(on|once)\(\s*["']SIG/),
    ).toEqual([]);
  });

  test("nothing is left unfinished", () => {
    expect(
      linesWith(
        code.filter((file) => file !== "test/tidy.test.ts"),
        /: any\b|as any\b|<any>|@ts-ignore/,
      ),
    ).toEqual([]);
    const marks = code.flatMap((file) => (/\b(TODO|FIXME|XXX)\b/.test(read(file)) ? [file] : []));
    expect(marks.filter((file) => file !== "test/tidy.test.ts")).toEqual([]);
  });
});

describe("a start loads what it uses", () => {
  /** Modules that are no files of ours, of what a file brings along before its first line runs. */
  function broughtBy(file: string, seen: Set<string>): string[] {
    if (seen.has(file)) return [];
    seen.add(file);
    const needed = importsOf(file).filter(({ typeOnly, later }) => !typeOnly && !later);
    return needed.flatMap(({ from }) => {
      if (from.startsWith(".")) return broughtBy(join(dirname(file), from), seen);
      return from.startsWith("#") ? broughtBy(from.slice(1), seen) : [from];
    });
  }
  const broughtByAll = (from: readonly string[]): string[] => {
    const seen = new Set<string>();
    return [...new Set(from.flatMap((file) => broughtBy(file, seen)))].sort();
  };

  test("the help knows the commands, and nothing of what they run with", () => {
    const commands = importsOf("ops/cli/main.ts").filter(({ from }) => from.startsWith("."));
    const brought = broughtByAll(["ops/cli/main.ts", ...commands.map(({ from }) => join("ops/cli", from))]);
    const libraries = brought.filter((from) => !from.startsWith("node:"));
    expect(libraries).toEqual(["@noble/hashes/sha2.js", "commander", "eventsource-parser"]);
  });

  // `import` of node:http reads all names of it, and one of them loads the undici that is part of Node.
  test("a role brings no telemetry, and no HTTP client before a model or embeddings are configured", () => {
    const roles = importsOf("ops/compose/roles.ts").filter(({ from }) => from.startsWith("./"));
    const brought = broughtByAll([
      "ops/compose/process.ts",
      ...roles.map(({ from }) => join("ops/compose", from)),
    ]);
    const heavy = /^(@opentelemetry\/|undici$|openai|@qdrant\/|node:https?$)/;
    expect(brought.filter((from) => heavy.test(from))).toEqual([]);
    expect(brought).toContain("fastify");
  });
});

describe("the documents say what the code does", () => {
  test("the error table equals the list in contracts/README.md", () => {
    const codes = Object.keys(ERRORS);
    const groups = new Set(codes.map((each) => each.split(".")[0]));
    const listed = [...read("contracts/README.md").matchAll(/`([a-z-]+\.[a-z-]+)`/g)]
      .map((match) => match[1] ?? "")
      // Other words in backticks hold a dot too: a code begins with the name of a group and is no file.
      .filter((each) => groups.has(each.split(".")[0] ?? "") && !existsSync(join(ROOT, "contracts", each)));
    expect([...new Set(listed)].sort()).toEqual([...codes].sort());
  });

  test("every command that the README names exists", () => {
    if (!existsSync(join(ROOT, "README.md")) || !existsSync(join(ROOT, "ops/cli"))) return;
    const commands = new Set(readdirSync(join(ROOT, "ops/cli")).map((file) => file.replace(/\.ts$/, "")));
    const named = [...read("README.md").matchAll(/npx jetclaw ([a-z]+)/g)].map((match) => match[1] ?? "");
    expect(named.filter((name) => !commands.has(name))).toEqual([]);
  });

  test("the lock file names the optional packages of every platform", () => {
    type Entry = { readonly optionalDependencies?: Record<string, string> };
    const { packages } = JSON.parse(read("package-lock.json")) as { packages: Record<string, Entry> };
    const holes = Object.entries(packages).flatMap(([path, entry]) =>
      Object.keys(entry.optionalDependencies ?? {}).filter(
        (name) => !packages[`node_modules/${name}`] && !packages[`${path}/node_modules/${name}`],
      ),
    );
    expect(holes, "node ops/tool/complete-lock.js fills them").toEqual([]);
  });

  test("every npm script that a document names exists", () => {
    const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
    const documents = files.filter((file) => file.endsWith(".md"));
    const named = documents.flatMap((file) =>
      [...read(file).matchAll(/npm run ([\w:-]+)/g)].map((match) => ({ file, name: match[1] ?? "" })),
    );
    expect(named.filter(({ name }) => !Object.hasOwn(scripts, name))).toEqual([]);
  });
});
