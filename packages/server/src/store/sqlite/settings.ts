import type { SettingStore } from "../setting-store.ts";
import type { Session } from "./sql.ts";

export function createSettingStore(session: Session): SettingStore {
  return {
    keepFirst: (name, value) =>
      session.write((sql) => {
        sql.run("INSERT INTO settings (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING", {
          name,
          value,
        });
        return sql.get<{ value: string }>("SELECT value FROM settings WHERE name = :name", { name })?.value ?? value;
      }),
  };
}
