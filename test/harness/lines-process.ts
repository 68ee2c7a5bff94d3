// The entry of the process that all lines run in. It is a process of its own, so that a busy harness does not slow the
// cluster down; it is told what to do over IPC and ends with the harness.

import { Line } from "./line.ts";
import type { LineOrder, LineReply } from "./lines.ts";
import { randomOf } from "./random.ts";

const lines = new Map<string, Line>();

async function obey({ order }: LineOrder): Promise<LineReply["counts"]> {
  switch (order.do) {
    case "open":
      for (const options of order.lines) {
        const line = new Line(options, randomOf(order.seed).fork(options.name));
        await line.listen();
        lines.set(options.name, line);
      }
      return undefined;
    case "set":
      for (const name of order.names) lines.get(name)?.set(order.fault);
      return undefined;
    case "sever":
      for (const name of order.names) lines.get(name)?.sever();
      return undefined;
    case "count":
      return Object.fromEntries([...lines].map(([name, { counts }]) => [name, counts]));
  }
}

process.on("disconnect", () => process.exit(0));
process.on("message", (order: LineOrder) => {
  const tell = (reply: Omit<LineReply, "id">): void => void process.send?.({ id: order.id, ...reply });
  obey(order).then(
    (counts) => tell({ counts }),
    (error: unknown) => tell({ error: error instanceof Error ? error.message : String(error) }),
  );
});
process.send?.({ id: 0 } satisfies LineReply);
