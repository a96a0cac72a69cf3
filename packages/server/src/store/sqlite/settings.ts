import type { SettingStore } from "../setting-store.ts";
import type { Session } from "./sql.ts";

/** Moments are written with as many digits each, so that they are in their order as text. */
const TAKE_TURN = `
  INSERT INTO settings (name, value) VALUES (:name, :until)
  ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE settings.value <= :now`;

const MOMENT_DIGITS = 16;
const moment = (ms: number): string => String(ms).padStart(MOMENT_DIGITS, "0");

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
    takeTurn: (name, { now, until }) =>
      session.write((sql) => sql.run(TAKE_TURN, { name, until: moment(until), now: moment(now) }) > 0),
  };
}
