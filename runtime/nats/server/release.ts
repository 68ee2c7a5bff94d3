// Downloads the official release archive. Its version is pinned; its checksum is read from the list that the
// same release publishes, so a broken or cut transfer is found, while trust in the release itself rests on HTTPS.
import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { demand, type Log } from "./execute.ts";

const VERSION = "2.15.1";
const BASE = `https://github.com/nats-io/nats-server/releases/download/v${VERSION}`;
/** A closed network may swallow packets in silence; this is all that finding out may cost. */
const CONNECT_LIMIT_MS = 5_000;
const DOWNLOAD_LIMIT_MS = 180_000;
const ARCHITECTURES: Record<string, string> = { x64: "amd64", arm64: "arm64" };
const PROGRESS_STEP = 0.25;

export async function fetchRelease(folder: string, log: Log): Promise<string> {
  const name = `nats-server-v${VERSION}-${process.platform}-${ARCHITECTURES[process.arch]}`;
  const archive = `${name}.tar.gz`;
  const expected = await readChecksum(archive);
  const bytes = await download(`${BASE}/${archive}`, log);
  const actual = createHash("sha256").update(bytes).digest("hex");
  if (actual !== expected)
    throw new Error(`${archive} has checksum ${actual}, and ${expected} was announced`);
  const path = join(folder, archive);
  await writeFile(path, bytes);
  await demand("tar", ["-xzf", path, "-C", folder], { limitMs: 60_000 });
  return join(folder, name, "nats-server");
}

async function readChecksum(archive: string): Promise<string> {
  const response = await ask(`${BASE}/SHA256SUMS`, CONNECT_LIMIT_MS);
  const line = (await response.text()).split("\n").find((each) => each.trim().endsWith(archive));
  const checksum = line?.trim().split(/\s+/)[0];
  if (checksum === undefined) throw new Error(`the release lists no checksum of ${archive}`);
  return checksum;
}

async function download(url: string, log: Log): Promise<Buffer> {
  const response = await ask(url, DOWNLOAD_LIMIT_MS);
  const total = Number(response.headers.get("content-length"));
  const chunks: Uint8Array[] = [];
  let received = 0;
  let announced = PROGRESS_STEP;
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk);
    received += chunk.byteLength;
    if (total > 0 && received / total >= announced) {
      log(`nats-server: ${Math.round((received / total) * 100)} % of ${(total / 1e6).toFixed(1)} MB`);
      announced += PROGRESS_STEP;
    }
  }
  return Buffer.concat(chunks);
}

async function ask(url: string, limitMs: number): Promise<Response> {
  const response = await fetch(url, { signal: AbortSignal.timeout(limitMs) }).catch((error: unknown) => {
    const cause =
      error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
    throw new Error(`${new URL(url).host} cannot be reached: ${cause}`);
  });
  if (!response.ok) throw new Error(`${url} answers ${response.status}`);
  return response;
}
