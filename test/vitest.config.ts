// Owns how tests are found and run: five projects, told apart by folder, all against the sources (condition
// `jetclaw-src`), never against dist/.
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const root = fileURLToPath(new URL("..", import.meta.url));
const conditions = ["jetclaw-src", "node", "module-sync"];

/**
 * Tells what hangs from what works, and nothing else: a slow machine with other work takes ten times what a quiet one does.
 * Waits inside of tests end before it, and say what they waited for.
 */
const LIMIT_MS = 300_000;

interface ProjectOptions {
  name: string;
  include: string[];
  /** Files share the modules of their process: for tests of pure code, where loading is most of the time. */
  shared?: boolean;
}

function project({ name, include, shared = false }: ProjectOptions) {
  return {
    root,
    resolve: { conditions },
    ssr: { resolve: { conditions, externalConditions: conditions } },
    test: {
      name,
      include,
      testTimeout: LIMIT_MS,
      hookTimeout: LIMIT_MS,
      pool: "forks" as const,
      isolate: !shared,
      // A child process that a test starts from a worker inherits these through process.execArgv.
      execArgv: ["--conditions=jetclaw-src", "--disable-warning=ExperimentalWarning"],
    },
  };
}

export default defineConfig({
  root,
  test: {
    // Flow tests start servers; more files at once than this only makes them wait for each other.
    maxWorkers: 2,
    passWithNoTests: true,
    reporters: ["default"],
    projects: [
      project({ name: "unit", include: ["test/unit/**/*.test.ts", "test/*.test.ts"], shared: true }),
      project({ name: "conformance", include: ["test/conformance/**/*.test.ts"] }),
      project({ name: "flow", include: ["test/flow/**/*.test.ts"] }),
      project({ name: "package", include: ["test/package/**/*.test.ts"] }),
      project({ name: "e2e", include: ["test/e2e/**/*.test.ts"] }),
    ],
  },
});
