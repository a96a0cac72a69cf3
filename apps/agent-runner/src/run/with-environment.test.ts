import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSandbox, type Sandbox } from "@stigmer/sandbox";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { withEnvironment } from "./with-environment.ts";

const TOKEN = "s3cret-tökén-0123456789";

describe("withEnvironment", () => {
  let rootDir: string;
  let plain: Sandbox;
  let sandbox: Sandbox;
  beforeEach(async () => {
    rootDir = await mkdtemp(join(tmpdir(), "stigmer-environment-"));
    plain = await createSandbox({ type: "filesystem", rootDir });
    sandbox = withEnvironment(plain, { values: { TOKEN, OPEN: "open" }, secrets: [TOKEN] });
  });
  afterEach(async () => {
    await plain.dispose();
    await rm(rootDir, { recursive: true });
  });

  it("gives commands the values, and shows no secret that they print", async () => {
    let streamed = "";
    const { stdout, stderr } = await sandbox.execute(
      'echo "$OPEN $TOKEN"; echo "$TOKEN" >&2; printf %s "$TOKEN" > kept',
      {
        onStdout: (text) => (streamed += text),
      },
    );
    expect([stdout, streamed, stderr]).toEqual(["open ********\n", "open ********\n", "********\n"]);
    expect(await readFile(join(rootDir, "kept"), "utf8")).toBe(TOKEN);
  });

  it("shows no secret that stands in a file, and leaves the file as it is", async () => {
    await sandbox.execute('printf "a=%s\\nb=%s\\n" "$TOKEN" "$OPEN" > env');
    expect(await sandbox.files.readText("env")).toBe("a=********\nb=open\n");
    expect(Buffer.from(await sandbox.files.read("env")).toString()).toBe("a=********\nb=open\n");
    expect((await sandbox.files.download(["env"])).map((bytes) => Buffer.from(bytes).toString())).toEqual([
      "a=********\nb=open\n",
    ]);
    expect((await sandbox.files.grep("a=")).matches).toMatchObject([{ path: "env", line: 1, text: "a=********" }]);
    await sandbox.files.edit("env", "b=open", "b=shut");
    expect(await readFile(join(rootDir, "env"), "utf8")).toBe(`a=${TOKEN}\nb=shut\n`);
  });

  it("leaves every other byte alone", async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, value) => value);
    await sandbox.files.write("binary", bytes);
    expect(new Uint8Array(await sandbox.files.read("binary"))).toEqual(bytes);
    await sandbox.files.write("binary", Buffer.concat([bytes, Buffer.from(TOKEN), bytes]));
    expect(Buffer.from(await sandbox.files.read("binary"))).toEqual(
      Buffer.concat([bytes, Buffer.from("********"), bytes]),
    );
  });
});
