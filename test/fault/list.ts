// Every row of the list of faults, by number.
import type { Row } from "./row.ts";
import { actorRows } from "./rows/actors.ts";
import { channelRows } from "./rows/channels.ts";
import { clientRows } from "./rows/clients.ts";
import { consumerRows } from "./rows/consumers.ts";
import { diskRows } from "./rows/disks.ts";
import { everythingRows } from "./rows/everything.ts";
import { hostRows } from "./rows/hosts.ts";
import { lineRows } from "./rows/lines.ts";
import { modelRows } from "./rows/models.ts";
import { serverRows } from "./rows/servers.ts";

export const ROWS: readonly Row[] = [
  ...hostRows,
  ...modelRows,
  ...actorRows,
  ...channelRows,
  ...consumerRows,
  ...clientRows,
  ...diskRows,
  ...serverRows,
  ...lineRows,
  ...everythingRows,
].sort((a, b) => a.fault - b.fault);

/** Rows that are shown elsewhere, and where. */
export const ELSEWHERE: Readonly<Record<number, string>> = {
  19: "overload x3: npx jetclaw bench overload",
};
