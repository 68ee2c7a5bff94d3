/** What commands write: JSON or columns on standard output, everything about their own progress on standard error. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, nameUnbounded, 2)}\n`);
}

/** JSON has no infinity and would write null, which passes for a figure below any bound. */
const nameUnbounded = (_: string, value: unknown): unknown =>
  typeof value === "number" && !Number.isFinite(value) ? String(value) : value;

export function print(line = ""): void {
  process.stdout.write(`${forTerminal(line)}\n`);
}

/** What people and documents say must not steer the terminal of whoever reads it; a file gets it as it is. */
export const forTerminal = (text: string): string =>
  process.stdout.isTTY ? text.replace(/[^\P{Cc}\n\t]/gu, "") : text;

/** Progress and remarks; never part of what a command outputs. */
export function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

export type Cell = string | number | boolean | null | undefined;

/** Columns as wide as their widest cell; numbers stand right. */
export function columns(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const cells = [
    head,
    ...rows.map((row) => row.map((cell) => (cell === null || cell === undefined ? "" : String(cell)))),
  ];
  const widths = head.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? "").length)));
  const right = head.map(
    (_, column) => rows.length > 0 && rows.every((row) => typeof row[column] === "number"),
  );
  return cells
    .map((row) =>
      widths
        .map((width, column) =>
          right[column] ? (row[column] ?? "").padStart(width) : (row[column] ?? "").padEnd(width),
        )
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

export const printColumns = (head: readonly string[], rows: readonly (readonly Cell[])[]): void =>
  print(columns(head, rows));

/** A line that is written over itself on a terminal, and every five seconds elsewhere. */
export function progressLine(): { update(line: string): void; end(line: string): void } {
  const live = process.stderr.isTTY;
  let lastAt = 0;
  let last = "";
  return {
    update(line) {
      const now = Date.now();
      if (now - lastAt < (live ? 80 : 5_000)) return;
      lastAt = now;
      last = line;
      // A line that wraps is two, and only the second would be written over.
      process.stderr.write(live ? `\r\x1b[K${line.slice(0, process.stderr.columns - 1)}` : `${line}\n`);
    },
    end(line) {
      // In a file the last line is there already; and nothing was said where nothing was begun.
      if (line === "" || (!live && line === last)) return;
      process.stderr.write(live ? `\r\x1b[K${line}\n` : `${line}\n`);
    },
  };
}
