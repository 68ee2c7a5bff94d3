// Qdrant's own server: the program at QDRANT_BIN, on a folder and ports of its own, gone at the end.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import type { Answer, Json, QdrantStore } from "./qdrant.ts";
import { endWithUs } from "./reaping.ts";
import { waitUntil } from "./wait.ts";

export async function startQdrantServer(program: string): Promise<QdrantStore> {
  const folder = await mkdtemp(join(tmpdir(), "jetclaw-test-qdrant-"));
  const [http, grpc] = [await freePort(), await freePort()];
  const url = `http://127.0.0.1:${http}`;
  let end = async (): Promise<void> => {};
  const start = async (): Promise<void> => {
    const child = spawn(program, [], {
      cwd: folder,
      env: { ...process.env, ...settings(http, grpc) },
      stdio: "ignore",
    });
    await once(child, "spawn");
    const spare = endWithUs(child.pid as number);
    const ended = once(child, "exit");
    end = async () => {
      child.kill("SIGKILL");
      await ended;
      spare();
    };
    await waitUntil(
      async () => {
        if (child.exitCode !== null) throw new Error(`Qdrant ended with code ${child.exitCode}`);
        return (await fetch(`${url}/readyz`).catch(() => undefined))?.ok;
      },
      { what: "Qdrant" },
    );
  };
  await start();
  return {
    async answer({ name, path }, body): Promise<Answer> {
      const [method = ""] = name.split(" ");
      const response = await fetch(`${url}${path}`, {
        method,
        ...(body && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
      });
      const text = await response.text();
      // A body that is no JSON is answered in plain words.
      const isJson = response.headers.get("content-type")?.includes("json");
      return {
        code: response.status,
        body: isJson ? (JSON.parse(text) as Json) : { status: { error: text } },
      };
    },
    halt: () => end(),
    resume: start,
    async stop() {
      await end();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const settings = (http: number, grpc: number): Record<string, string> => ({
  QDRANT__LOG_LEVEL: "WARN",
  QDRANT__TELEMETRY_DISABLED: "true",
  QDRANT__SERVICE__HOST: "127.0.0.1",
  QDRANT__SERVICE__HTTP_PORT: String(http),
  QDRANT__SERVICE__GRPC_PORT: String(grpc),
});
