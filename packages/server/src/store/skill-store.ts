/** What a skill was at one push. */
export interface SkillVersion {
  readonly skillId: string;
  /** SHA-256 of the artifact, 64 hex digits. */
  readonly hash: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /** The skill as it was, as protobuf. */
  readonly body: Uint8Array;
}

export interface SkillVersionStore {
  /** A version that is there already stays as it is. */
  put(version: SkillVersion): Promise<void>;
  /** Points the tag of a skill to a version; it moves when it was elsewhere. */
  tag(skillId: string, tag: string, hash: string): Promise<void>;
  /** `version` is a tag or a hash. */
  get(skillId: string, version: string): Promise<SkillVersion | undefined>;
  /** The skills that have, or had, this version. */
  skillsOf(hash: string): Promise<string[]>;
  /** Removes all versions and tags of a skill; answers the hashes that no other skill has. */
  deleteAll(skillId: string): Promise<string[]>;
}

/** Artifacts of skills by content: the key is the SHA-256 of the bytes in hex. */
export interface ArtifactStore {
  put(key: string, artifact: Uint8Array): Promise<void>;
  get(key: string): Promise<Uint8Array | undefined>;
  delete(key: string): Promise<void>;
}
