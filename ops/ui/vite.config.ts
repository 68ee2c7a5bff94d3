// Builds the chat page into dist/ui, ready for a strict Content-Security-Policy: nothing inline, no data: URLs.
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

/** The remembered theme has to be set before the first paint, or a dark page flashes white. */
const blockFirstPaint: Plugin = {
  name: "jetclaw:block-first-paint",
  transformIndexHtml: (html) =>
    html.replace('<script type="module"', '<script type="module" blocking="render"'),
};

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  base: "./",
  plugins: [blockFirstPaint],
  // Vite takes its mode from NODE_ENV, and a test runner sets that: the page would be another one, a sixth larger, for
  // whoever builds it first. These three lines make it the same.
  resolve: { conditions: ["jetclaw-src", "module", "browser", "production"] },
  define: { "process.env.NODE_ENV": JSON.stringify("production") },
  oxc: { jsx: { runtime: "automatic", importSource: "preact", development: false } },
  build: {
    outDir: fileURLToPath(new URL("../../dist/ui", import.meta.url)),
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
