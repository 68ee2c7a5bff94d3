// Where this user's machine keeps what can be made again: fetched programs, and what a start has compiled.
import * as nodeModule from "node:module";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

export function cacheFolder() {
  const { JETCLAW_CACHE_DIR, XDG_CACHE_HOME } = process.env;
  return JETCLAW_CACHE_DIR || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "jetclaw");
}

/**
 * What this process and its children compile, types taken out, the next start finds. Not in the folder for temporary files
 * that Node would take, where others may write. Where nothing can be written a start is slower, and nothing else.
 */
export function keepCompiled() {
  try {
    const folder = join(cacheFolder(), "compiled");
    // Without a home it would lie wherever one happens to be.
    if (isAbsolute(folder)) process.env.NODE_COMPILE_CACHE ||= folder;
    else if (!process.env.NODE_COMPILE_CACHE) return;
    // Node has it since 22.1; who sets the variable, or NODE_DISABLE_COMPILE_CACHE, has decided already.
    nodeModule.enableCompileCache?.(process.env.NODE_COMPILE_CACHE);
  } catch {
    // A user without a home folder: there is nowhere to keep it.
  }
}
