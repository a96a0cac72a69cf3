import { execa } from "execa";
import { DCLinter } from "dclint";
import { mkdtemp, readFile, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { repository } from "./stigmer.ts";

// The files of deploy/ as Compose and Kubernetes read them, by their own schemas. What the variables in them mean is held
// against the configuration in packages/config.

const folder = join(repository, "deploy");
const read = (name: string): Promise<string> => readFile(join(folder, name), "utf8");

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "stigmer-deploy-"));
  await symlink(join(import.meta.dirname, "node_modules"), join(scratch, "node_modules"));
});
afterAll(() => rm(scratch, { recursive: true }));

interface LintResult {
  readonly messages: readonly { readonly rule: string; readonly message: string }[];
}

describe("compose.yaml", () => {
  const linter = new DCLinter({ rules: {}, quiet: true, debug: false, exclude: [] });
  // Its schema alone: where it wants each key to stand is its own taste.
  const problems = (file: string): string[] =>
    (linter.lintFiles([file], false) as LintResult[])
      .flatMap(({ messages }) => messages)
      .filter(({ rule }) => rule.startsWith("invalid-"))
      .map(({ message }) => message);

  test("is what Compose's schema says", async () => {
    expect(problems(join(folder, "compose.yaml"))).toEqual([]);
    const wrong = join(scratch, "compose.yaml");
    await writeFile(wrong, (await read("compose.yaml")).replace("read_only: true", "read_onyl: true"));
    expect(problems(wrong).join()).toContain("must NOT have additional properties");
  });
});

describe("core files, which would have secrets in them, are not written", () => {
  test("by any service of compose.yaml", async () => {
    const { services } = parse(await read("compose.yaml"), { merge: true }) as { services: Record<string, unknown> };
    expect(Object.keys(services).length).toBeGreaterThan(3);
    for (const [name, service] of Object.entries(services))
      expect({ name, service }).toMatchObject({ service: { ulimits: { core: 0 } } });
  });

  // A pod has no field for it, so its images see to it themselves, and a manifest must not start something else.
  test.each(["server", "runner"])("by the %s's pods, which start as their image says", async (name) => {
    const entry = /^ENTRYPOINT (?<entry>\[.*\])$/m.exec(await read(`docker/${name}.Dockerfile`))?.groups?.["entry"];
    const [init, , ...command] = JSON.parse(entry ?? "[]") as string[];
    expect(init).toBe("tini");
    // With a program that shows what it was given in the place of node.
    await writeFile(join(scratch, "node"), '#!/bin/sh\nulimit -H -c; printf "%s\\n" "$@"\n', { mode: 0o755 });
    const [program = "", ...args] = command;
    const PATH = `${scratch}:${process.env["PATH"]}`;
    const { stdout } = await execa(program, [...args, "server", "two words"], { env: { PATH } });
    expect(stdout.split("\n")).toEqual(["0", "/opt/stigmer/dist/main.js", "server", "two words"]);

    const manifests = parseAllDocuments(await read(`kubernetes/${name}.yaml`)).map((each) => each.toJS() as unknown);
    const [deployment] = manifests.filter((each) => (each as Manifest).kind === "Deployment");
    const [container] = (deployment as { spec: { template: { spec: { containers: object[] } } } }).spec.template.spec
      .containers;
    expect(container).toMatchObject({ name: `stigmer-${name}` });
    expect(Object.keys(container ?? {})).not.toContain("command");
  });
});

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
}

describe("kubernetes", () => {
  let manifests: Manifest[];
  beforeAll(async () => {
    const files = await readdir(join(folder, "kubernetes"));
    const texts = await Promise.all(files.map((file) => read(`kubernetes/${file}`)));
    manifests = texts.flatMap((text) => parseAllDocuments(text).map((document) => document.toJS() as Manifest));
  });

  // They need no key: the port is to be the monitoring's alone.
  test("metrics are told on a port that only one namespace reaches", () => {
    const port = manifests
      .map((each) => each as { data?: Record<string, string> })
      .find(({ data }) => data?.["STIGMER_METRICS_PORT"] !== undefined)?.data?.["STIGMER_METRICS_PORT"];
    const policies = manifests.filter(({ kind }) => kind === "NetworkPolicy") as unknown as readonly {
      readonly spec: {
        readonly ingress: readonly { readonly from: unknown; readonly ports: readonly { port: number }[] }[];
      };
    }[];
    expect(policies).toHaveLength(2);
    const monitoring = [{ namespaceSelector: { matchLabels: { "stigmer.ai/monitoring": "true" } } }];
    for (const { spec } of policies) {
      const rules = spec.ingress.filter(({ ports }) => ports.some((each) => String(each.port) === port));
      expect(rules.map(({ from }) => from)).toEqual([monitoring]);
    }
  });

  test("each manifest has the values that the API's schema asks for", async () => {
    expect(manifests.length).toBeGreaterThan(10);
    for (const manifest of manifests) await validate(manifest);
    const wrong = structuredClone(manifests.find(({ kind }) => kind === "Service")) as unknown as Record<
      string,
      object
    >;
    Object.assign(wrong, { spec: { ports: [{ port: "http" }] } });
    await expect(validate(wrong as unknown as Manifest)).rejects.toThrow(/port.*integer/);
  });

  test(
    "no field is misspelt: each is one that the API's types know, where it stands",
    { timeout: 60_000 },
    async () => {
      expect(await misfits(manifests)).toBe("");
      const text = JSON.stringify(manifests.filter(({ kind }) => kind === "Deployment"));
      const wrong = JSON.parse(text.replaceAll("readOnlyRootFilesystem", "readonlyRootFilesystem")) as Manifest[];
      expect(await misfits(wrong)).toMatch(/readonlyRootFilesystem"' does not exist/);
    },
  );

  /** Where its type and its schema come from. */
  const moduleOf = ({ apiVersion }: Manifest): string =>
    `${apiVersion.startsWith("cert-manager.io/") ? "@kubernetes-models/cert-manager" : "kubernetes-models"}/${apiVersion}`;

  async function validate(manifest: Manifest): Promise<void> {
    const { apiVersion, kind } = manifest;
    const models = (await import(`${moduleOf(manifest)}/${kind}`)) as Record<
      string,
      new (data: object) => { validate(): void }
    >;
    const Model = models[kind];
    if (!Model) throw new Error(`Kubernetes has no ${kind} in ${apiVersion}.`);
    new Model(manifest).validate();
  }

  /** What TypeScript says of them: of a literal, it also finds what is too much. */
  async function misfits(all: readonly Manifest[]): Promise<string> {
    const lines = all.map(
      (manifest, index) =>
        `const m${index}: import("${moduleOf(manifest)}").I${manifest.kind} = ${JSON.stringify(manifest)};`,
    );
    const file = join(scratch, "manifests.ts");
    await writeFile(file, [...lines, "export {};", ""].join("\n"));
    const flags = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--types", "", "--ignoreConfig"];
    const { stdout } = await execa("tsc", [...flags, file], {
      reject: false,
      preferLocal: true,
      localDir: repository,
      cwd: scratch,
    });
    return stdout;
  }
});

describe("versions", () => {
  test("the images of server and runner have those of their packages", async () => {
    const versionOf = async (app: string): Promise<string> =>
      (JSON.parse(await readFile(join(repository, "apps", app, "package.json"), "utf8")) as { version: string })
        .version;
    const [cli, runner] = [await versionOf("cli"), await versionOf("agent-runner")];
    expect(runner).toBe(cli);
    const compose = await read("compose.yaml");
    expect(compose).toContain(`image: stigmer/server:\${STIGMER_VERSION:-${cli}}`);
    expect(compose).toContain(`image: stigmer/agent-runner:\${STIGMER_VERSION:-${cli}}`);
    expect(await read("kubernetes/server.yaml")).toContain(`image: stigmer/server:${cli}\n`);
    expect(await read("kubernetes/runner.yaml")).toContain(`image: stigmer/agent-runner:${cli}\n`);
    expect(await read("README.md")).toContain(`-t stigmer/server:${cli} `);
    expect(await read("README.md")).toContain(`-t stigmer/agent-runner:${cli} `);
  });

  test("Temporal is the one that the suites run against", async () => {
    const { services } = parse(await read("compose.yaml"), { merge: true }) as {
      services: { temporal: { image: string } };
    };
    const tested = /version: "([^"]+)"/.exec(await readFile(join(repository, "tools/system/temporal.ts"), "utf8"))?.[1];
    expect(services.temporal.image).toBe(`temporalio/temporal:${tested}`);
  });

  test("the images' own base is public, and has the Node that everything is tested with", async () => {
    const { devDependencies } = JSON.parse(await readFile(join(repository, "package.json"), "utf8")) as {
      devDependencies: { node: string };
    };
    const major = devDependencies.node.split(".")[0];
    for (const name of ["server", "runner"]) {
      const text = await read(`docker/${name}.Dockerfile`);
      expect(text).toContain(`ARG BASE_IMAGE=node:${major}-bookworm-slim\nARG BUILD_IMAGE=\${BASE_IMAGE}\n`);
    }
  });
});
