// `jetclaw route explain`: the decision of the local configuration, told without a deployment.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { program } from "#ops/cli/main.ts";

const folder = mkdtempSync(join(tmpdir(), "jetclaw-route-"));
const model = (name: string) => ({ name, baseUrl: "http://127.0.0.1:9/v1" });

beforeEach(() => {
  const path = join(folder, "jetclaw.config.json");
  writeFileSync(
    path,
    JSON.stringify({
      pools: {
        large: { tier: "gold", models: [model("big"), model("other")], degradeTo: "small" },
        small: { models: [model("mini")] },
      },
      assistants: { shop: {}, desk: { model: "small" } },
      routing: { rules: [{ name: "money", when: { keywords: ["refund"] }, pool: "large" }] },
    }),
  );
  vi.stubEnv("JETCLAW_CONFIG", path);
  // Nobody listens there: what follows is told without a deployment.
  vi.stubEnv("JETCLAW_URL", "http://127.0.0.1:9");
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  rmSync(join(folder, "jetclaw.config.json"), { force: true });
});

async function run(...args: string[]): Promise<string> {
  let out = "";
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    out += String(text);
    return true;
  });
  await (await program("route")).parseAsync(["route", "explain", ...args], { from: "user" });
  return out;
}

test("tells the decision, its reasons and what every strategy said", async () => {
  const told = JSON.parse(await run("A REFUND, please", "--json"));
  expect(told).toMatchObject({
    decision: { pool: "large", tier: "gold", reasons: ['rule "money" (keyword "refund") names pool large'] },
    level: 0,
    levelFrom: expect.stringContaining("assumed"),
    features: { assistant: "shop", cls: "new" },
  });
  expect(told.steps).toHaveLength(6);
});

test("supposes a level, a tier and a failing model", async () => {
  expect(JSON.parse(await run("hi", "--level", "1", "--json")).decision.pool).toBe("small");
  const ongoing = ["--tier", "gold", "--model", "big", "--level", "3", "--failing", "large/big", "--json"];
  expect(JSON.parse(await run("hi", ...ongoing)).decision).toMatchObject({ pool: "large", model: "other" });
  expect(await run("hi", "--assistant", "desk")).toContain("the assistant names pool small");
});

test("refuses what the configuration does not know", async () => {
  await expect(run("hi", "--assistant", "toString")).rejects.toThrow("there are shop, desk");
  await expect(run("hi", "--failing", "large/mini")).rejects.toThrow("large/big");
  await expect(run("hi", "--level", "4")).rejects.toThrow("0, 1, 2 or 3");
});
