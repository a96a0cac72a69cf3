// The profile as text: what it does is for a Mac to show.
import { describe, expect, test } from "vitest";
import { seatbeltProfile, type SeatbeltOptions } from "./seatbelt.ts";

const options: SeatbeltOptions = {
  workspace: '/Users/me/a "quoted" \\ path',
  temporary: "/private/var/folders/x/sandbox-1",
  home: "/Users/me",
  readOnlyPaths: ["/Users/me/.nvm"],
  hiddenPaths: ["/Users/me/.nvm/secret"],
  network: false,
};
const lines = (changed?: Partial<SeatbeltOptions>): string[] => seatbeltProfile({ ...options, ...changed }).split("\n");

describe("a Seatbelt profile", () => {
  test("denies what it does not name", () => {
    expect(lines().slice(0, 2)).toEqual(["(version 1)", "(deny default)"]);
  });

  test("allows writing to the workspace and the private directory, and nowhere else", () => {
    const writable = lines().filter((line) => line.includes("file-write") && line.startsWith("(allow"));
    expect(writable).toEqual([
      String.raw`(allow file-read* file-write* (subpath "/Users/me/a \"quoted\" \\ path") (subpath "/private/var/folders/x/sandbox-1"))`,
      '(allow file-read* file-write-data file-ioctl (literal "/dev/null") (literal "/dev/zero") (literal "/dev/tty"))',
    ]);
  });

  test("hides home directories before it shows what is shown on purpose, and hides again what is hidden", () => {
    const profile = lines();
    const at = (part: string): number => profile.findIndex((line) => line.includes(part));
    const all = at("(allow file-read*)");
    const hidden = at('(deny file-read* (subpath "/Users")');
    const shown = at('(allow file-read* (subpath "/Users/me/.nvm"))');
    const again = at('(deny file-read* file-write* (subpath "/Users/me/.nvm/secret"))');
    expect([all, hidden, shown, again].every((index) => index >= 0)).toBe(true);
    expect([all, hidden, shown, again]).toEqual([all, hidden, shown, again].toSorted((a, b) => a - b));
  });

  test("allows no network, not even this machine's own, unless all of it", () => {
    expect(lines().filter((line) => line.includes("network"))).toEqual([]);
    expect(lines({ network: true })).toContain("(allow network*)");
  });
});
