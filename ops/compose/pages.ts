/** The built pages of the chat: made in a clone when their sources have changed, carried by the package. */
import type { Log } from "#runtime/observe/log.ts";

/** The folder of the pages; undefined, with a warning, where they cannot be built: the API works without them. */
export async function ensurePages(say: (line: string) => void, log: Log): Promise<string | undefined> {
  try {
    const { ensureUi } = await import("../tool/ui.ts");
    return await ensureUi({ log: say });
  } catch (err) {
    log.warn({ err }, "the chat page is not there; the API works without it");
    return undefined;
  }
}
