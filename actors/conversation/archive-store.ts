/** Where exported turns lie: a folder, or a bucket of an S3-compatible server. Keys are paths of plain tokens. */
import { createHash } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { AwsClient } from "aws4fetch";
import { JetclawError } from "#contracts/errors.ts";

export interface ArchiveStore {
  /** Writes whatever is there. @throws JetclawError `archive.unavailable` */
  put(key: string, bytes: Uint8Array): Promise<void>;
  /** Undefined where there is none. @throws JetclawError `archive.unavailable` */
  get(key: string): Promise<Uint8Array | undefined>;
}

export interface S3Access {
  /** Such as `https://s3.eu-central-1.amazonaws.com`. */
  readonly endpoint: string | undefined;
  readonly region: string | undefined;
  readonly accessKeyId: string | undefined;
  readonly secretAccessKey: string | undefined;
  readonly sessionToken?: string | undefined;
}

const TRIES = 4;
const PATIENCE_MS = 60_000;

/** Opens `file:///folder`, a plain folder, or `s3://bucket/prefix`. @throws JetclawError `config.invalid` */
export function openArchive(url: string, access: S3Access): ArchiveStore {
  if (url.startsWith("s3://")) return s3Archive(url, access);
  if (/^[a-z][a-z0-9+.-]+:/i.test(url) && !url.startsWith("file://"))
    throw new JetclawError(
      "config.invalid",
      `an archive is a folder, file:///folder or s3://bucket, not ${url}`,
    );
  return fileArchive(url.startsWith("file://") ? fileURLToPath(url) : url);
}

function fileArchive(folder: string): ArchiveStore {
  const failed = (cause: unknown): JetclawError =>
    new JetclawError("archive.unavailable", `${folder}: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  return {
    async put(key, bytes) {
      const path = join(folder, key);
      try {
        await mkdir(dirname(path), { recursive: true });
        // Whole or not at all, also where the disk is full or the process ends.
        await writeFile(`${path}.part`, bytes, { flush: true });
        await rename(`${path}.part`, path);
      } catch (cause) {
        throw failed(cause);
      }
    },
    async get(key) {
      try {
        return await readFile(join(folder, key));
      } catch (cause) {
        if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return undefined;
        throw failed(cause);
      }
    },
  };
}

function s3Archive(url: string, access: S3Access): ArchiveStore {
  const [, bucket, prefix = ""] = /^s3:\/\/([^/]+)\/?(.*?)\/?$/.exec(url) ?? [];
  const { endpoint, accessKeyId, secretAccessKey, sessionToken, region = "us-east-1" } = access;
  if (!bucket) throw new JetclawError("config.invalid", `write s3://bucket/prefix, not ${url}`);
  if (!endpoint || !accessKeyId || !secretAccessKey)
    throw new JetclawError(
      "config.invalid",
      "an S3 archive needs AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    );
  const client = new AwsClient({
    accessKeyId,
    secretAccessKey,
    region,
    service: "s3",
    retries: TRIES,
    ...(sessionToken ? { sessionToken } : {}),
  });
  const ask = async (
    key: string,
    init: RequestInit & { headers?: Record<string, string> },
  ): Promise<Response> => {
    const path = [bucket, ...prefix.split("/"), ...key.split("/")].filter(Boolean).map(encodeURIComponent);
    try {
      return await client.fetch(`${endpoint.replace(/\/+$/, "")}/${path.join("/")}`, {
        ...init,
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
    } catch (cause) {
      throw new JetclawError("archive.unavailable", `${endpoint} does not answer`, { cause });
    }
  };
  const refused = async (response: Response): Promise<JetclawError> =>
    new JetclawError(
      "archive.unavailable",
      `${url} answers ${response.status} ${/<Code>(\w+)<\/Code>/.exec(await response.text())?.[1] ?? ""}`.trim(),
    );
  return {
    async put(key, bytes) {
      // Signed with its hash, so that the server refuses what the line has changed.
      const headers = { "x-amz-content-sha256": createHash("sha256").update(bytes).digest("hex") };
      const response = await ask(key, { method: "PUT", body: Buffer.from(bytes), headers });
      if (!response.ok) throw await refused(response);
    },
    async get(key) {
      const response = await ask(key, { method: "GET" });
      if (response.status === 404) return undefined;
      if (!response.ok) throw await refused(response);
      return new Uint8Array(await response.arrayBuffer());
    },
  };
}
