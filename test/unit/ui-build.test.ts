import { gzipSync } from "node:zlib";
import { build } from "vite";
import { expect, test } from "vitest";
import config from "#ops/ui/vite.config.ts";

/** What a phone on a slow network is asked to fetch. */
const MAX_GZIPPED_BYTES = 75_000;

test("the built page is small and holds nothing that a strict policy refuses", async () => {
  const built = await build({
    ...config,
    configFile: false,
    logLevel: "silent",
    build: { ...config.build, write: false },
  });
  const output = "output" in built ? built.output : [];
  const texts = new Map<string, string>();
  for (const file of output)
    texts.set(file.fileName, file.type === "chunk" ? file.code : String(file.source));
  const html = texts.get("index.html") ?? "";
  expect(html).toContain('<script type="module" blocking="render"');
  expect(html).not.toMatch(/<script(?![^>]*\ssrc=)[^>]*>|<style|\sstyle=|\son[a-z]+=|javascript:|data:/i);
  const rest = [...texts].filter(([name]) => name !== "index.html");
  expect(rest.map(([name]) => name.replace(/^.*\./, "")).sort()).toEqual(["css", "js"]);
  for (const [name, text] of rest) {
    if (name.endsWith(".css")) expect(text).not.toMatch(/url\(|@import/);
    else expect(text).not.toMatch(/dangerouslySetInnerHTML:|from"node:/);
  }
  const bytes = [...texts.values()].reduce((sum, text) => sum + gzipSync(text).length, 0);
  expect(bytes).toBeLessThan(MAX_GZIPPED_BYTES);
});
