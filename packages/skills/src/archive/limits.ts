// What an archive may be. A server refuses more at a push, an unpacker whoever made the archive.

export interface ArchiveLimits {
  /** Bytes of the zip. Default 100 MiB. */
  readonly archiveBytes: number;
  /** Bytes of all files unpacked. Default 500 MiB. */
  readonly unpackedBytes: number;
  /** Files and folders. Default 10,000. */
  readonly entries: number;
  /** How many times the bytes of the zip the files may have unpacked. Default 100. */
  readonly ratio: number;
  /** Bytes of SKILL.md. Default 1 MiB. */
  readonly skillMdBytes: number;
}

export const archiveLimits: ArchiveLimits = {
  archiveBytes: 100 * 1024 * 1024,
  unpackedBytes: 500 * 1024 * 1024,
  entries: 10_000,
  ratio: 100,
  skillMdBytes: 1024 * 1024,
};
