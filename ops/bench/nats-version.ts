/** The version that a nats-server binary says it has. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

export async function natsServerVersion(bin: string): Promise<string> {
  const { stdout } = await promisify(execFile)(bin, ["--version"], { timeout: 10_000 });
  return /v(\d+\.\d+\.\d+\S*)/.exec(stdout)?.[1] ?? stdout.trim();
}
