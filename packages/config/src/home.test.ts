import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { resolveHome } from "./home.ts";

test("the user's home folder by default", () => {
  expect(resolveHome({}).home).toBe(join(homedir(), ".stigmer"));
  expect(resolveHome({ STIGMER_HOME: "" }, { home: "/h" }).home).toBe("/h/.stigmer");
});

test("STIGMER_HOME moves everything, STIGMER_DATA_DIR the data alone", () => {
  expect(resolveHome({ STIGMER_HOME: "/s" })).toEqual({
    home: "/s",
    configFile: "/s/config.yaml",
    localKeyFile: "/s/local.key",
    dataDir: "/s/data",
    logsDir: "/s/logs",
    binDir: "/s/bin",
    workspacesDir: "/s/workspaces",
    runDir: "/s/run",
  });
  expect(resolveHome({ STIGMER_HOME: "/s", STIGMER_DATA_DIR: "/d" })).toMatchObject({
    dataDir: "/d",
    localKeyFile: "/s/local.key",
  });
});

test("~ is expanded, and relative paths become absolute", () => {
  expect(resolveHome({ STIGMER_HOME: "~/x", STIGMER_DATA_DIR: "~" }, { home: "/h" })).toMatchObject({
    home: "/h/x",
    dataDir: "/h",
  });
  expect(resolveHome({ STIGMER_HOME: "x" }).home).toBe(resolve("x"));
});
