// The same server from the official image: what a test gets where JETCLAW_TEST_NATS_IMAGE names one and Docker runs.
import { execFileSync } from "node:child_process";
import { GenericContainer, type StartedTestContainer, Wait } from "testcontainers";
import { freePort } from "./free-port.ts";
import type { TestNats, TestNatsOptions } from "./nats.ts";

const NATS_PORT = 4222;
const STORE = "/data";

/** Starts the image on a free port of loopback; the data stay in the container until `stop`. */
export async function startNatsContainer(image: string, options: TestNatsOptions): Promise<TestNats> {
  const port = options.port || (await freePort());
  const container = await new GenericContainer(image)
    .withCopyContentToContainer([{ content: configOf(options), target: "/jetclaw-test.conf" }])
    .withCommand(["-c", "/jetclaw-test.conf"])
    .withExposedPorts({ container: NATS_PORT, host: port })
    .withWaitStrategy(Wait.forLogMessage(/Server is ready/))
    .start();
  return {
    url: `nats://${container.getHost()}:${port}`,
    port,
    // It runs in a namespace of its own: no test may signal it by its id.
    pid: -1,
    dataDir: STORE,
    async stop() {
      await container.stop({ remove: true, removeVolumes: true });
    },
    async kill() {
      docker("kill", container);
    },
    freeze: () => docker("pause", container),
    thaw: () => docker("unpause", container),
    async restart() {
      docker("start", container);
    },
  };
}

function docker(verb: "kill" | "pause" | "unpause" | "start", container: StartedTestContainer): void {
  execFileSync("docker", [verb, container.getId()], { stdio: "ignore" });
}

/** As the embedded server is configured, so that limits are the same. */
function configOf({ syncInterval = "1s" }: TestNatsOptions): string {
  return `listen: "0.0.0.0:${NATS_PORT}"
max_payload: 8MB
jetstream { store_dir: "${STORE}", sync_interval: ${syncInterval}, max_memory_store: 1GB }
`;
}
