// A file system in a file: small enough to be filled, and copied as a whole while it is written, as a power cut would
// leave it. Needs root, loop devices and the tools of ext4.
import { spawnSync } from "node:child_process";
import { copyFile, mkdir, truncate, writeFile } from "node:fs/promises";
import { Skipped } from "./skipped.ts";

export class LoopDisk {
  readonly image: string;
  readonly folder: string;

  constructor(image: string, folder: string) {
    this.image = image;
    this.folder = folder;
  }

  /** Makes an image of so many MB and mounts it. @throws Skipped where the machine cannot */
  static async make(image: string, folder: string, megabytes: number): Promise<LoopDisk> {
    if (process.getuid?.() !== 0) throw new Skipped("loop mounts need root");
    await writeFile(image, "");
    await truncate(image, megabytes * 1024 * 1024);
    const made = run("mkfs.ext4", ["-q", "-F", image]);
    if (made) throw new Skipped(`no ext4 file system can be made here: ${made}`);
    const disk = new LoopDisk(image, folder);
    await disk.mount();
    return disk;
  }

  async mount(): Promise<void> {
    await mkdir(this.folder, { recursive: true });
    const failed = run("mount", ["-o", "loop", this.image, this.folder]);
    if (failed) throw new Skipped(`no loop mount here: ${failed}`);
  }

  unmount(): void {
    run("umount", ["-l", this.folder]);
  }

  /** Has the kernel write what only its memory knows, as it does of itself within half a minute. */
  flush(): void {
    const failed = run("sync", ["-f", this.folder]);
    if (failed) throw new Error(`${this.folder} cannot be flushed: ${failed}`);
  }

  /** What the disk itself holds now: nothing that only the kernel's memory knows. */
  async copyTo(image: string): Promise<LoopDisk> {
    await copyFile(this.image, image);
    return new LoopDisk(image, this.folder);
  }
}

/** @returns what went wrong */
function run(command: string, args: readonly string[]): string | undefined {
  const { error, status, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (error) return error.message;
  return status === 0 ? undefined : stderr.trim() || `status ${status}`;
}
