// Ctrl-C in the middle of a benchmark: its processes are ended at once, nothing stays behind, and it is said in a line.
import { spawn } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { waitUntil } from "#test/harness/wait.ts";

const BIN = fileURLToPath(new URL("../../ops/bin.js", import.meta.url));
let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "jetclaw-cancelled-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

test("a cancelled benchmark leaves no process, no folder and no stack trace", async () => {
  let said = "";
  // A group of its own: Ctrl-C in a terminal reaches all of it.
  const bench = spawn(process.execPath, [...process.execArgv, BIN, "bench", "overload", "--seconds", "120"], {
    env: { ...process.env, JETCLAW_DATA_DIR: dir },
    stdio: ["ignore", "ignore", "pipe"],
    detached: true,
  });
  bench.stderr.on("data", (data) => {
    said += String(data);
  });
  const ended = new Promise<number | null>((resolve) => bench.once("exit", resolve));
  const group = -(bench.pid as number);
  try {
    await waitUntil(() => /ongoing conversations alone/.test(said), {
      what: "it to measure",
      timeoutMs: 120_000,
    });
    process.kill(group, "SIGINT");
    expect(await ended).toBe(1);
    expect(said).toContain("Cancelled");
    expect(said).not.toMatch(/^\s+at /m);
    expect(await readdir(dir)).toEqual([]);
    await waitUntil(() => !lives(group), { what: "its processes to be gone" });
  } finally {
    if (lives(group)) process.kill(group, "SIGKILL");
  }
});

function lives(group: number): boolean {
  try {
    return process.kill(group, 0);
  } catch {
    return false;
  }
}
