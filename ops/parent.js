// `npm start` runs us behind a shell, and npm passes SIGTERM on to that shell alone: it dies, and we would run on without
// anybody who knows of us. So what npm started ends when its parent is gone, as by a SIGTERM of its own. What no npm
// started, and what a script sends into the background (`... &`), outlives its parent.

const LOOK_MS = 500;
const ENDING = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"];

/** Plain JavaScript, for the oldest Node a machine may carry; called once, before anything else. */
export function endWithNpm() {
  const { npm_lifecycle_event: startedByNpm, npm_lifecycle_script: script = "" } = process.env;
  // Who holds a channel to its parent learns of its end there (supervise.js).
  if (!startedByNpm || process.channel || /&\s*$/.test(script)) return;
  const parent = process.ppid;
  let wasGone = false;
  const timer = setInterval(() => {
    const gone = isGone(parent);
    // Twice: a signal to the whole group is ours as well, and it is heard between two looks.
    if (gone && wasGone) {
      clearInterval(timer);
      process.kill(process.pid, "SIGTERM");
    }
    wasGone = gone;
  }, LOOK_MS);
  timer.unref();
  const emit = process.emit;
  // Who was told to end is ending; told twice it would end at once. A listener would switch off the default meaning.
  process.emit = function (name, ...rest) {
    if (ENDING.includes(name)) clearInterval(timer);
    return emit.call(this, name, ...rest);
  };
}

/**
 * Systems that give an orphan a new parent show it; Windows goes on naming the old one.
 * @param {number} parent
 */
function isGone(parent) {
  if (process.ppid !== parent) return true;
  try {
    process.kill(parent, 0);
    return false;
  } catch (error) {
    return error.code === "ESRCH";
  }
}
