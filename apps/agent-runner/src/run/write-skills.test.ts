import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { ClientError, type ResourceClients } from "@stigmer/client";
import { SkillSchema } from "@stigmer/protos/skill/v1";
import { createSandbox, type Sandbox } from "@stigmer/sandbox";
import { buildZip } from "@stigmer/skills/hostile-archives";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ReferencedSkill } from "./resolve-skills.ts";
import { createWriteSkills, type WrittenSkills } from "./write-skills.ts";

// What servers may answer. What a run makes of a real server's skills is in ../skills.test.ts.

let root: string;
let sandbox: Sandbox;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "stigmer-write-skills-"));
  sandbox = await createSandbox({ type: "filesystem", rootDir: root });
});
afterEach(async () => {
  await sandbox.dispose();
  await rm(root, { recursive: true });
});

function skill(name: string, status: { versionHash?: string; artifactStorageKey?: string } = {}): ReferencedSkill {
  const metadata = { id: `skl-${name}`, slug: name };
  const skillMd = `---\nname: ${name}\ndescription: d\n---\nText of ${name}`;
  return {
    skill: create(SkillSchema, { metadata, spec: { skillMd }, status }),
    reference: `spec.skill_refs[0] (${name})`,
    subAgent: "",
  };
}

async function write(skills: ReferencedSkill[], getArtifact: () => Promise<Uint8Array>): Promise<WrittenSkills> {
  const clients = { skills: { getArtifact } } as unknown as ResourceClients;
  return createWriteSkills()({ clients, sandbox, directory: "skills", isNew: false, sessionId: "ses-1", skills });
}

const stored = { versionHash: "a".repeat(64), artifactStorageKey: "key" };
const failing = (code: ConstructorParameters<typeof ClientError>[0]) => () =>
  Promise.reject(new ClientError(code, `skill artifact key: ${code}`));

describe("writeSkills", () => {
  it("takes the Markdown from a server that keeps no archives", async () => {
    const { inUse, sectionOf } = await write([skill("old", stored)], failing("unimplemented"));
    expect(inUse).toEqual([
      { name: "old", versionHash: stored.versionHash, path: `${sandbox.root}/skills/old.md`, subAgent: "" },
    ]);
    expect(await readFile(join(root, "skills/old.md"), "utf8")).toContain("Text of old");
    expect(sectionOf("")).toContain(`File: ${sandbox.root}/skills/old.md`);
    expect(sectionOf("other")).toBe("");
  });

  it("does not ask for the archive of a skill that has none", async () => {
    await write([skill("plain")], () => Promise.reject(new Error("asked")));
    expect(await readdir(join(root, "skills"))).toContain("plain.md");
  });

  it("names the reference of an archive that is lost, damaged or no skill's", async () => {
    await expect(write([skill("lost", stored)], failing("not-found"))).rejects.toThrow(
      "spec.skill_refs[0] (lost): skill artifact key: not-found",
    );
    await expect(write([skill("bad", stored)], () => Promise.resolve(Buffer.from("bytes")))).rejects.toThrow(
      /^spec\.skill_refs\[0\] \(bad\): Skill "bad": The skill's archive is not the version a{64}: its SHA-256 is/,
    );
    const broken = skill("broken");
    if (broken.skill.spec) broken.skill.spec.skillMd = "no frontmatter";
    await expect(write([broken], failing("internal"))).rejects.toThrow(
      /^spec\.skill_refs\[0\] \(broken\): The SKILL\.md is not valid/,
    );
  });

  it("refuses an archive that leads out of its folder, though a server vouches for it, and writes nothing", async () => {
    const artifact = buildZip([
      { name: "SKILL.md", content: "---\nname: outward\ndescription: d\n---\nText" },
      { name: "scripts/run.sh", content: "true" },
      { name: "../../evil.sh", content: "touch /tmp/evil" },
    ]);
    const versionHash = createHash("sha256").update(artifact).digest("hex");
    const outward = skill("outward", { versionHash, artifactStorageKey: versionHash });
    await expect(write([outward], () => Promise.resolve(artifact))).rejects.toThrow(
      /^spec\.skill_refs\[0\] \(outward\): Skill "outward": .*\.\.\/\.\.\/evil\.sh/,
    );
    const files = await readdir(root, { recursive: true });
    expect(files.filter((file) => /evil|run\.sh/.test(file))).toEqual([]);
  });

  it("leaves a server that is away to the engine", async () => {
    const failure = await write([skill("far", stored)], failing("unavailable")).catch((error: unknown) => error);
    expect(ClientError.is(failure) && failure.code).toBe("unavailable");
  });

  it("lets nobody without skills wait for the look at what is there, but for the agent's beginning", async () => {
    const writeSkills = createWriteSkills();
    const clients = { skills: {} } as unknown as ResourceClients;
    const of = { clients, sandbox, directory: "skills", isNew: false, sessionId: "ses-1" } as const;
    await writeSkills({ ...of, skills: [skill("old")] });
    const without = await writeSkills({ ...of, skills: [] });
    expect(without).toMatchObject({ inUse: [], settled: expect.any(Promise) as Promise<unknown> });
    expect(without.sectionOf("")).toBe("");
    expect(await readdir(join(root, "skills"))).toContain("old.md");
    await without.settled;
    expect(await readdir(join(root, "skills"))).not.toContain("old.md");
  });

  it("tells what keeps it from taking away what the session had", async () => {
    const broken = new Error("the disk is gone");
    const list = (): Promise<never> => Promise.reject(broken);
    const gone = { ...sandbox, files: { ...sandbox.files, list } };
    const clients = { skills: {} } as unknown as ResourceClients;
    const of = { clients, sandbox: gone, directory: "skills", isNew: false, sessionId: "ses-1" } as const;
    const writeSkills = createWriteSkills();
    await expect((await writeSkills({ ...of, skills: [] })).settled).rejects.toThrow(/the disk is gone/);
    const { settled } = await writeSkills({ ...of, isNew: true, skills: [] });
    await expect(settled, "nothing is looked for in what is new").resolves.toBeUndefined();
  });

  it("lets runs that share a workspace write one after another", async () => {
    const writeSkills = createWriteSkills();
    const clients = { skills: {} } as unknown as ResourceClients;
    const names = Array.from({ length: 8 }, (_, at) => `s${at}`);
    await Promise.all(
      names.map((name) =>
        writeSkills({
          clients,
          sandbox,
          directory: "skills",
          isNew: true,
          sessionId: `ses-${name}`,
          skills: [skill(name), skill("all")],
        }),
      ),
    );
    const record = JSON.parse(await readFile(join(root, "skills/.stigmer-skills.json"), "utf8")) as {
      skills: Record<string, { users: string[] }>;
    };
    expect(Object.keys(record.skills)).toEqual(["all", ...names]);
    expect(record.skills["all"]?.users).toHaveLength(8);
  });
});
