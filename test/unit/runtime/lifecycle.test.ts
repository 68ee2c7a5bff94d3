// The stages of a process: what starts first stops last, and a start that fails leaves nothing running.
import { describe, expect, test } from "vitest";
import { Lifecycle } from "#runtime/lifecycle.ts";
import { createLog } from "#runtime/observe/log.ts";

function recorded(fails: Record<string, boolean> = {}): {
  lifecycle: Lifecycle;
  seen: string[];
  add(name: string, stage: number): void;
} {
  const seen: string[] = [];
  const lifecycle = new Lifecycle(createLog({ level: "silent" }));
  const say = (phase: string, name: string) => async (): Promise<void> => {
    // A stage takes time: the next one may not begin before it ends.
    await new Promise((resolve) => setImmediate(resolve));
    seen.push(`${phase} ${name}`);
    if (fails[`${phase} ${name}`]) throw new Error(`${phase} ${name} fails`);
  };
  return {
    lifecycle,
    seen,
    add: (name, stage) =>
      lifecycle.add({
        name,
        stage,
        start: say("start", name),
        drain: say("drain", name),
        stop: say("stop", name),
      }),
  };
}

describe("a process", () => {
  test("starts in the order of its stages, drains and then stops in the reverse", async () => {
    const { lifecycle, seen, add } = recorded();
    add("gateway", 70);
    add("nats", 20);
    add("hosts", 60);
    await lifecycle.start();
    expect(lifecycle.state).toBe("running");
    await lifecycle.stop();
    expect(seen).toEqual([
      ...["start nats", "start hosts", "start gateway"],
      ...["drain gateway", "drain hosts", "drain nats"],
      ...["stop gateway", "stop hosts", "stop nats"],
    ]);
    expect(lifecycle.state).toBe("stopped");
  });

  test("that fails to start stops what had started, says why, and is failed", async () => {
    const { lifecycle, seen, add } = recorded({ "start hosts": true });
    add("nats", 20);
    add("hosts", 60);
    add("gateway", 70);
    await expect(lifecycle.start()).rejects.toThrow("start hosts fails");
    expect(seen).toEqual(["start nats", "start hosts", "stop nats"]);
    expect(lifecycle.state).toBe("failed");
  });

  test("is stopped once, however often it is told", async () => {
    const { lifecycle, seen, add } = recorded();
    add("nats", 20);
    await lifecycle.start();
    await Promise.all([lifecycle.stop(), lifecycle.stop()]);
    await lifecycle.stop();
    expect(seen).toEqual(["start nats", "drain nats", "stop nats"]);
  });

  test("goes on stopping when a stage fails", async () => {
    const { lifecycle, seen, add } = recorded({ "drain b": true, "stop b": true });
    add("a", 1);
    add("b", 2);
    await lifecycle.start();
    await lifecycle.stop();
    expect(seen.slice(2)).toEqual(["drain b", "drain a", "stop b", "stop a"]);
    expect(lifecycle.state).toBe("stopped");
  });

  test("can do without drains and stops", async () => {
    const { lifecycle } = recorded();
    lifecycle.add({ name: "topology", stage: 30, start: async () => {} });
    await lifecycle.start();
    await lifecycle.stop();
    expect(lifecycle.state).toBe("stopped");
  });
});
