// Builds the chat page into dist/ui, ready for a strict Content-Security-Policy: nothing inline, no data: URLs.
import { fileURLToPath } from "node:url";
import { defaultClientConditions, defineConfig, type Plugin } from "vite";

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
  resolve: { conditions: ["jetclaw-src", ...defaultClientConditions] },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: fileURLToPath(new URL("../../dist/ui", import.meta.url)),
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
