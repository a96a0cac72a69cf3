/** What a store knows of itself. */
export interface SettingStore {
  /** Keeps a value under a name unless one is kept there, and answers what is kept: of several servers the first one decides. */
  keepFirst(name: string, value: string): Promise<string>;
}
