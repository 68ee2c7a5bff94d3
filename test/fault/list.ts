// Every row of the list of faults, by number.
import type { Row } from "./row.ts";
import { serverRows } from "./rows/servers.ts";

export const ROWS: readonly Row[] = [...serverRows].sort((a, b) => a.fault - b.fault);

/** Rows that are shown elsewhere, and where. */
export const ELSEWHERE: Readonly<Record<number, string>> = {
  16: "model provider 429, 500, hang, half a stream, garbage: test/flow/providers.test.ts",
  19: "overload x3: npx jetclaw bench overload",
};
