/** Entry of a benchmark's process: a host or a worker, of ours or of the bare pipeline. Its parent drives it. */
import type { BareTask } from "./bare-pipeline.ts";
import type { EndpointTask } from "./endpoint-parts.ts";
import type { PartTask } from "./part.ts";

export type ChildTask = BareChildTask | EndpointTask | PartTask;
interface BareChildTask {
  readonly kind: "bare-host" | "bare-worker";
  readonly natsUrl: string;
  readonly bare: BareTask;
}
export type ToChild =
  | { readonly do: "start"; readonly task: ChildTask }
  | { readonly do: "usage" }
  | { readonly do: "heap" }
  | { readonly do: "stop" };
export type FromChild =
  | { readonly is: "ready" }
  | { readonly is: "usage"; readonly usage: { readonly cpuMs: number; readonly rssMb: number } }
  | { readonly is: "heap"; readonly heapMb: number }
  | { readonly is: "failed"; readonly reason: string };

let stop: () => Promise<void> = async () => {};

async function start(task: ChildTask): Promise<void> {
  if (task.kind === "part") {
    const { startPart } = await import("./part.ts");
    stop = await startPart(task);
  } else if ("port" in task) {
    const { startEndpointPart } = await import("./endpoint-parts.ts");
    stop = await startEndpointPart(task);
  } else {
    const { startBareHost, startBareWorker } = await import("./bare-pipeline.ts");
    const { kind, natsUrl, bare } = task;
    stop = await (kind === "bare-host" ? startBareHost(natsUrl, bare) : startBareWorker(natsUrl, bare));
  }
}

const reply = (message: FromChild): void => void process.send?.(message);

async function onMessage(message: ToChild): Promise<void> {
  if (message.do === "start") {
    await start(message.task);
    reply({ is: "ready" });
  } else if (message.do === "usage") {
    const { user, system } = process.cpuUsage();
    reply({
      is: "usage",
      usage: { cpuMs: (user + system) / 1_000, rssMb: process.memoryUsage.rss() / 2 ** 20 },
    });
  } else if (message.do === "heap") {
    reply({ is: "heap", heapMb: await heapMb() });
  } else {
    await stop();
    process.exit(0);
  }
}

/** What is left of heap and buffers after a full collection. */
async function heapMb(): Promise<number> {
  const [{ setFlagsFromString }, { runInNewContext }] = await Promise.all([
    import("node:v8"),
    import("node:vm"),
  ]);
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / 2 ** 20;
}

process.on("message", (message: ToChild) => {
  onMessage(message).catch((error: unknown) => {
    reply({ is: "failed", reason: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    setTimeout(() => process.exit(1), 100);
  });
});
// A parent that was killed leaves nobody to measure for.
process.on("disconnect", () => process.exit(1));
// Ctrl-C reaches the whole group; the parent decides how we end.
process.on("SIGINT", () => {});
