// Run by hand after `npm install <package>`: node ops/tool/complete-lock.js
// A registry mirror may lack the binaries of other platforms. npm then leaves them out of the lock file in silence,
// and `npm ci` refuses that lock file everywhere. This names each of them again by version and platform; only their
// checksum stays unknown. test/tidy.test.ts finds a lock file with such holes.
import { readFileSync, writeFileSync } from "node:fs";

const PATH = new URL("../../package-lock.json", import.meta.url);
const SYSTEMS = [
  "android",
  "darwin",
  "freebsd",
  "linux",
  "netbsd",
  "openbsd",
  "openharmony",
  "sunos",
  "win32",
];
const PROCESSORS = ["arm64", "arm", "ia32", "loong64", "ppc64", "riscv64", "s390x", "wasm32", "x64"];

const lock = JSON.parse(readFileSync(PATH, "utf8"));
let added = 0;
for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (lock.packages[`node_modules/${name}`] || lock.packages[`${path}/node_modules/${name}`]) continue;
    lock.packages[`node_modules/${name}`] = describePackage(name, version, entry);
    added++;
  }
}
const inOrder = Object.entries(lock.packages).sort(([one], [other]) => one.localeCompare(other, "en"));
lock.packages = Object.fromEntries(inOrder);
if (added > 0) writeFileSync(PATH, `${JSON.stringify(lock, null, 2)}\n`);
console.error(`${added} packages of other platforms were missing.`);

/**
 * @param {string} name
 * @param {string} version
 * @param {{ dev?: boolean, license?: string }} parent
 */
function describePackage(name, version, parent) {
  if (!/^\d+\.\d+\.\d+$/.test(version))
    throw new Error(`${name} is wanted as ${version}, which names no version.`);
  const words = name.slice(name.lastIndexOf("/") + 1).split("-");
  const os = SYSTEMS.find((system) => words.includes(system));
  const cpu = PROCESSORS.find((processor) => words.includes(processor));
  if (!os || !cpu) throw new Error(`${name} is for a platform that its name does not tell.`);
  const musl = words.some((word) => word.startsWith("musl"));
  const libc = os === "linux" && (musl ? ["musl"] : words.includes("gnu") ? ["glibc"] : undefined);
  return {
    version,
    cpu: [cpu],
    ...(parent.dev && { dev: true }),
    ...(libc && { libc }),
    license: parent.license,
    optional: true,
    os: [os],
  };
}
