// Entry of a worker in a process of its own, so that a test can kill it: its NATS and its configuration as arguments.
import { configSchema } from "#contracts/config.ts";
import { connectTo, contextOf, provisionFor } from "#ops/compose/open.ts";
import { startWorker } from "#ops/compose/worker.ts";
import { createLog } from "#runtime/observe/log.ts";

const [natsUrl = "", text = "{}"] = process.argv.slice(2);
const log = createLog({ level: "error" });
const config = configSchema.parse(JSON.parse(text));
const bus = await connectTo(natsUrl, "worker", log);
await startWorker(contextOf(bus, await provisionFor(bus, config), config, log));
process.send?.("ready");
// A test that is gone leaves nobody to work for.
process.on("disconnect", () => process.exit(1));
