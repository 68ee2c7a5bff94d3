// Starting ourselves again under another Node, as close to `exec` as a child process comes: the same terminal,
// every signal heard exactly once by the child, its exit code or signal kept, and no orphan when the parent dies.
import { spawn } from "node:child_process";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"];
/** A terminal or supervisor signals the whole group; what the child hears itself arrives within this time. */
const ECHO_MS = 1_000;
const FORWARD_DELAY_MS = 100;
/** Longer than a drain; a child that is still there after its parent's death and this time ends itself. */
const ORPHAN_LIMIT_MS = 30_000;

/**
 * @param {string} command
 * @param {string[]} args
 */
export function supervise(command, args) {
  return new Promise((_resolve, reject) => {
    const child = spawn(command, args, { stdio: ["inherit", "inherit", "inherit", "ipc"] });
    for (const signal of SIGNALS) {
      process.on(signal, () => {
        setTimeout(() => child.connected && child.send({ signal }, () => {}), FORWARD_DELAY_MS);
      });
    }
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      if (!signal) process.exit(code ?? 1);
      for (const each of SIGNALS) process.removeAllListeners(each);
      process.kill(process.pid, signal);
    });
  });
}

/** The child's side: raises the signals its parent received alone, and ends when the parent is gone. */
export function listen() {
  if (!process.channel) return;
  /** @type {Map<string, number>} */
  const heardAt = new Map();
  const emit = process.emit;
  // A listener would switch off the default meaning of a signal; looking at what is emitted does not.
  process.emit = function (name, ...rest) {
    if (SIGNALS.includes(name)) heardAt.set(name, Date.now());
    return emit.call(this, name, ...rest);
  };
  process.on("message", (message) => {
    const signal = message?.signal;
    if (!SIGNALS.includes(signal)) return;
    if (Date.now() - (heardAt.get(signal) ?? 0) > ECHO_MS) process.kill(process.pid, signal);
  });
  process.on("disconnect", () => {
    setTimeout(() => process.kill(process.pid, "SIGKILL"), ORPHAN_LIMIT_MS).unref();
    process.kill(process.pid, "SIGTERM");
  });
  // The channel alone must not keep a command alive that has finished.
  process.channel.unref();
}
