// A small S3-compatible server: PUT and GET of objects, signatures checked as AWS describes them (Signature Version 4).
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

export interface TestS3 {
  readonly endpoint: string;
  readonly objects: Map<string, Buffer>;
  /** Refuses everything with 503 while it is more than 0, counting down. */
  failing: number;
  stop(): Promise<void>;
}

export const S3_KEYS = { accessKeyId: "test-key", secretAccessKey: "test-secret", region: "eu-test-1" };

export async function startTestS3(): Promise<TestS3> {
  const objects = new Map<string, Buffer>();
  const state = { failing: 0 };
  const server = createServer(async (request, response) => {
    const body = await bodyOf(request);
    const answer = (status: number, data: Buffer | string = ""): void =>
      void response.writeHead(status).end(data);
    const code = (status: number, name: string): void =>
      answer(status, `<Error><Code>${name}</Code></Error>`);
    if (state.failing > 0) {
      state.failing--;
      return code(503, "SlowDown");
    }
    if (!isSigned(request, body)) return code(403, "SignatureDoesNotMatch");
    const path = decodeURIComponent(new URL(request.url ?? "/", "http://s3").pathname);
    if (request.method === "PUT") {
      objects.set(path, body);
      return answer(200);
    }
    const found = objects.get(path);
    return found ? answer(200, found) : code(404, "NoSuchKey");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    objects,
    get failing() {
      return state.failing;
    },
    set failing(times) {
      state.failing = times;
    },
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

const sha256 = (data: string | Buffer): string => createHash("sha256").update(data).digest("hex");
const hmac = (key: string | Buffer, data: string): Buffer => createHmac("sha256", key).update(data).digest();

function isSigned(request: IncomingMessage, body: Buffer): boolean {
  const header = (name: string): string => String(request.headers[name] ?? "");
  const signed =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
      header("authorization"),
    );
  if (!signed) return false;
  const [, key, day = "", region = "", names = "", signature = ""] = signed;
  const hash = header("x-amz-content-sha256");
  if (key !== S3_KEYS.accessKeyId || (hash !== "UNSIGNED-PAYLOAD" && hash !== sha256(body))) return false;
  const { pathname, searchParams } = new URL(request.url ?? "/", "http://s3");
  searchParams.sort();
  const canonical = [
    request.method,
    pathname,
    searchParams.toString(),
    ...names.split(";").map((name) => `${name}:${header(name).trim()}`),
    "",
    names,
    hash,
  ].join("\n");
  const scope = `${day}/${region}/s3/aws4_request`;
  const toSign = ["AWS4-HMAC-SHA256", header("x-amz-date"), scope, sha256(canonical)].join("\n");
  const signingKey = [region, "s3", "aws4_request"].reduce<Buffer>(
    (from, part) => hmac(from, part),
    hmac(`AWS4${S3_KEYS.secretAccessKey}`, day),
  );
  return timingSafeEqual(hmac(signingKey, toSign), Buffer.from(signature, "hex"));
}
