// Owns how tests are found and run: five projects, told apart by folder, all against the sources (condition
// `jetclaw-src`), never against dist/.
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const root = fileURLToPath(new URL("..", import.meta.url));
const conditions = ["jetclaw-src", "node", "module-sync"];

interface ProjectOptions {
  name: string;
  include: string[];
  testTimeout: number;
  /** Files share the modules of their process: for tests of pure code, where loading is most of the time. */
  shared?: boolean;
}

function project({ name, include, testTimeout, shared = false }: ProjectOptions) {
  return {
    root,
    resolve: { conditions },
    ssr: { resolve: { conditions, externalConditions: conditions } },
    test: {
      name,
      include,
      testTimeout,
      hookTimeout: 60_000,
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
      project({
        name: "unit",
        include: ["test/unit/**/*.test.ts", "test/*.test.ts"],
        // Laws that are played a thousand times take a second on a quiet machine, and twenty on one that is shared.
        testTimeout: 60_000,
        shared: true,
      }),
      project({ name: "conformance", include: ["test/conformance/**/*.test.ts"], testTimeout: 30_000 }),
      project({ name: "flow", include: ["test/flow/**/*.test.ts"], testTimeout: 60_000 }),
      project({ name: "package", include: ["test/package/**/*.test.ts"], testTimeout: 180_000 }),
      project({ name: "e2e", include: ["test/e2e/**/*.test.ts"], testTimeout: 120_000 }),
    ],
  },
});
