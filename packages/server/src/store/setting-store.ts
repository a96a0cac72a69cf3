/** What a store knows of itself. */
export interface SettingStore {
  /** Keeps a value under a name unless one is kept there, and answers what is kept: of several servers the first one decides. */
  keepFirst(name: string, value: string): Promise<string>;
  /**
   * Takes something that one server does at a time, until a moment, unless somebody has it: milliseconds since 1970. Who does not
   * come back loses it then.
   */
  takeTurn(name: string, turn: { readonly now: number; readonly until: number }): Promise<boolean>;
}
