/** The archive of exported turns, by its address and the environment's access to it. */
import { type ArchiveStore, openArchive } from "#actors/conversation/archive-store.ts";
import type { Settings } from "../settings.ts";

/** @throws JetclawError `config.invalid` */
export const archiveOf = (url: string, { s3 }: Pick<Settings, "s3">): ArchiveStore => openArchive(url, s3);
