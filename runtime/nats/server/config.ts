// Writes the configuration file of an embedded server: the text of nats.conf with its own values put in, so that
// what an operator reads there is what runs here.
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

export interface ConfigValues {
  readonly host: string;
  readonly port: number;
  readonly storeDir: string;
  readonly serverName: string;
  readonly syncInterval: "always" | "1s" | "2m";
  readonly monitorPort?: number | undefined;
}

/** nats.conf stands at the top of the clone and of the package; from dist/ that is one folder further up. */
export function templatePath(): string {
  const paths = ["../../../nats.conf", "../../../../nats.conf"].map((path) =>
    fileURLToPath(new URL(path, import.meta.url)),
  );
  const found = paths.find((path) => existsSync(path));
  if (found === undefined) throw new Error(`nats.conf is in none of: ${paths.join(", ")}`);
  return found;
}

/** A server's name belongs to its data directory: it tells our server from another one on the same port. */
export function serverNameOf(dataDir: string): string {
  return `jetclaw-${createHash("sha256").update(dataDir).digest("hex").slice(0, 12)}`;
}

export async function renderConfig(template: string, values: ConfigValues): Promise<string> {
  const text = await readFile(template, "utf8");
  const set = (body: string, key: string, value: string) => {
    const line = new RegExp(`^(\\s*)${key}\\s*[:=].*$`, "m");
    if (!line.test(body)) throw new Error(`${template} has no line "${key}: ..." to put a value into`);
    return body.replace(line, (_whole, indent: string) => `${indent}${key}: ${value}`);
  };
  const settings: [string, string][] = [
    ["listen", quote(`${values.host.includes(":") ? `[${values.host}]` : values.host}:${values.port}`)],
    ["server_name", quote(values.serverName)],
    ["store_dir", quote(values.storeDir)],
    ["sync_interval", values.syncInterval],
  ];
  let result = settings.reduce((body, [key, value]) => set(body, key, value), text);
  if (values.monitorPort !== undefined) result += `\nhttp: ${quote(`127.0.0.1:${values.monitorPort}`)}\n`;
  return result;
}

function quote(value: string): string {
  return JSON.stringify(value);
}
