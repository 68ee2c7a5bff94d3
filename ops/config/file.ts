/**
 * Finds and imports the configuration file. A file that stands outside any project with jetclaw installed can import
 * "jetclaw" all the same: it gets the package that runs it.
 */
import { access, readFile } from "node:fs/promises";
import { registerHooks } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { JetclawError } from "#contracts/errors.ts";

const NAMES = ["jetclaw.config.ts", "jetclaw.config.js", "jetclaw.config.json"];
/** What a configuration imports besides its own files; resolved here where its own folder cannot. */
const PROVIDED = /^(jetclaw(\/(client|channel|testing))?|zod)$/;

export async function findConfigFile(given: string | undefined): Promise<string | undefined> {
  if (given !== undefined) {
    const path = resolve(given);
    if (await exists(path)) return path;
    throw new JetclawError(
      "config.invalid",
      `there is no file ${path}; correct JETCLAW_CONFIG, or write one with \`jetclaw init\``,
    );
  }
  for (const name of NAMES) if (await exists(resolve(name))) return resolve(name);
  return undefined;
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** @throws JetclawError `config.invalid` */
export async function importConfigFile(path: string): Promise<unknown> {
  if (path.endsWith(".json")) return parseJson(path, await readFile(path, "utf8"));
  provideOurselves();
  const module = await importModule(path);
  if (module.default === undefined)
    throw new JetclawError(
      "config.invalid",
      `${path} has no default export; end it with: export default defineConfig({ ... })`,
    );
  return module.default;
}

async function importModule(path: string): Promise<{ default?: unknown }> {
  try {
    return (await import(pathToFileURL(path).href)) as { default?: unknown };
  } catch (cause) {
    if (cause instanceof JetclawError) throw cause;
    const reason = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
    throw new JetclawError("config.invalid", `${placeIn(path, cause)} cannot be loaded: ${reason}`, {
      cause,
    });
  }
}

/** The path, with the line where that is known: of a mistake in the text, or of what threw. */
function placeIn(path: string, cause: unknown): string {
  const stack = cause instanceof Error ? (cause.stack ?? "") : "";
  const at = [pathToFileURL(path).href, path].find((name) => stack.includes(`${name}:`));
  const line = at && /^\d+/.exec(stack.slice(stack.indexOf(`${at}:`) + at.length + 1))?.[0];
  return line ? `${path}:${line}` : path;
}

function parseJson(path: string, text: string): unknown {
  try {
    // Some editors begin a file with a mark of its byte order.
    return JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch (cause) {
    throw new JetclawError(
      "config.invalid",
      `${path} is no JSON: ${cause instanceof Error ? cause.message : cause}`,
      { cause },
    );
  }
}

let provided = false;
function provideOurselves(): void {
  if (provided) return;
  provided = true;
  registerHooks({
    resolve(specifier, context, next) {
      try {
        return next(specifier, context);
      } catch (error) {
        if (!PROVIDED.test(specifier)) throw error;
        return next(specifier, { ...context, parentURL: import.meta.url });
      }
    },
  });
}
