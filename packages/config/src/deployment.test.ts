import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { afterAll, describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { readConfig, readServerConfig, variables } from "./index.ts";

// deploy/ as people apply it, held against what the processes read: no name that nobody knows, and none missing.

const folder = join(import.meta.dirname, "../../../deploy");
const read = (name: string): string => readFileSync(join(folder, name), "utf8");

interface Compose {
  services: Record<string, ComposeService>;
}
interface ComposeService {
  image: string;
  build?: { dockerfile: string };
  environment: Record<string, string | number>;
  healthcheck?: object;
  read_only?: boolean;
  user?: string;
  cap_drop?: string[];
  stop_grace_period?: string;
  command?: string[];
  deploy: { replicas?: number; resources: { limits: Record<string, string> } };
}
interface Manifest {
  kind: string;
  metadata: { name: string };
  data?: Record<string, string>;
  stringData?: Record<string, string>;
  spec: {
    template: { spec: Pod; metadata: { labels: Record<string, string> } };
    selector: { matchLabels: Record<string, string> } & Record<string, string>;
    podSelector: { matchLabels: Record<string, string> };
    scaleTargetRef: { name: string };
  };
}
interface Pod {
  serviceAccountName: string;
  automountServiceAccountToken: boolean;
  terminationGracePeriodSeconds: number;
  securityContext: Record<string, unknown>;
  containers: Container[];
  volumes: { name: string; secret?: { secretName: string; items?: { key: string }[] } }[];
}
interface Container {
  image: string;
  env: { name: string; value: string }[];
  envFrom: { configMapRef?: { name: string }; secretRef?: { name: string } }[];
  resources: { requests: object; limits: object };
  securityContext: object;
  readinessProbe: Record<string, unknown>;
  livenessProbe: object;
  startupProbe: object;
  volumeMounts: { name: string; mountPath: string }[];
}

const scratch = mkdtempSync(join(tmpdir(), "stigmer-deployment-"));
writeFileSync(join(scratch, "ca.crt"), rootCertificates[0]!);
afterAll(() => rmSync(scratch, { recursive: true }));

// What an installation fills in: values of the right shape.
const filled: Record<string, string> = {
  STIGMER_DATABASE_URL: "postgres://u:p@h/d",
  STIGMER_CHECKPOINT_URL: "postgres://u:p@h/d",
  STIGMER_ENCRYPTION_KEY: "00".repeat(32),
  STIGMER_API_KEY: "stk_x",
  DAYTONA_API_KEY: "x",
  STIGMER_TLS_CA_FILE: join(scratch, "ca.crt"),
};
const complete = (env: Record<string, string>): Record<string, string> => ({
  ...env,
  ...Object.fromEntries(Object.entries(filled).filter(([name]) => name in env)),
});
const problemsOf = (reader: "server" | "runner", env: Record<string, string>): unknown => {
  const result = reader === "server" ? readServerConfig(complete(env)) : readConfig(complete(env));
  return result.ok ? [] : result.problems;
};
const unknownTo = (reader: "server" | "runner", env: Record<string, string>): string[] =>
  Object.keys(env).filter(
    (name) => !(variables as Record<string, { readers: readonly string[] }>)[name]?.readers.includes(reader),
  );

const images = { server: "stigmer/server", runner: "stigmer/agent-runner" } as const;
const readers = ["server", "runner"] as const;
// The runner hands back its work within 8 s of being asked to stop; a server serves on for a while, and then lets go of what it has.
const CLOSE_SECONDS = 8;
const drainSecondsOf = (reader: "server" | "runner", env: Record<string, string>): number =>
  reader === "runner"
    ? CLOSE_SECONDS
    : CLOSE_SECONDS + Number(env["STIGMER_DRAIN_SECONDS"] ?? variables.STIGMER_DRAIN_SECONDS.cloud.value);

describe("compose.yaml", () => {
  const { services } = parse(read("compose.yaml"), { merge: true }) as Compose;
  const environmentOf = (name: string): Record<string, string> =>
    // Like Compose: what a variable falls back to, or nothing.
    Object.fromEntries(
      Object.entries(services[name]?.environment ?? {}).map(([name, value]) => [
        name,
        String(value).replaceAll(/\$\{\w+(?::(-|\?)([^}]*))?\}/g, (_all, kind, rest: string) =>
          kind === "-" ? rest : "x",
        ),
      ]),
    );

  test.each(readers)("the %s's variables are all known, and none is missing", (name) => {
    const env = environmentOf(name);
    expect(unknownTo(name, env)).toEqual([]);
    expect(problemsOf(name, env)).toEqual([]);
  });

  test.each(readers)("the %s is its image, hardened, watched and given time to end", (name) => {
    const service = services[name]!;
    expect(service.image).toMatch(new RegExp(`^${images[name]}:`));
    expect(readFileSync(join(folder, "..", service.build!.dockerfile), "utf8")).toContain("USER 10001:10001");
    expect(service).toMatchObject({ read_only: true, cap_drop: ["ALL"] });
    const drain = drainSecondsOf(name, environmentOf(name));
    expect(Number.parseInt(service.stop_grace_period!, 10)).toBeGreaterThan(drain);
    expect(service.deploy.replicas).toBe(name === "server" ? 2 : 3);
  });

  test.each(Object.entries(services))("%s has a health check, limits and an image with a version", (_name, service) => {
    expect(service.healthcheck).toBeDefined();
    expect(Object.keys(service.deploy.resources.limits).toSorted()).toEqual(["cpus", "memory"]);
    expect(service.image).toMatch(/:.+/);
    expect(service.image).not.toMatch(/latest/);
  });

  test("each variable that it asks for stands in env.example, which holds no secret", () => {
    const asked = [...read("compose.yaml").matchAll(/(?<!\$)\$\{(\w+)/g)].map(([, name]) => name);
    const given = new Map([...read("env.example").matchAll(/^(\w+)=(.*)$/gm)].map(([, name, value]) => [name, value]));
    const defaults = ["STIGMER_VERSION", "SANDBOX_DOCKER_IMAGE"];
    expect([...new Set(asked)].filter((name) => !given.has(name!) && !defaults.includes(name!))).toEqual([]);
    expect([...given].filter(([name, value]) => value !== "" && name !== "STIGMER_RUNNER_HOME")).toEqual([]);
  });
});

describe("kubernetes", () => {
  const manifests = readdirSync(join(folder, "kubernetes")).flatMap((file) =>
    parseAllDocuments(read(`kubernetes/${file}`)).map((document) => {
      expect(document.errors).toEqual([]);
      return document.toJS() as Manifest;
    }),
  );
  const find = (kind: string, name: string): Manifest =>
    manifests.find((m) => m.kind === kind && m.metadata.name === name)!;
  const podOf = (name: string): Pod => find("Deployment", name).spec.template.spec;

  test.each(readers)("the %s's variables are all known, and none is missing", (reader) => {
    const [container] = podOf(`stigmer-${reader}`).containers;
    const env = Object.assign(
      {},
      ...container!.envFrom.map(({ configMapRef, secretRef }) =>
        configMapRef ? find("ConfigMap", configMapRef.name).data : find("Secret", secretRef!.name).stringData,
      ),
      Object.fromEntries(container!.env.map(({ name, value }) => [name, value])),
    ) as Record<string, string>;
    expect(unknownTo(reader, env)).toEqual([]);
    expect(problemsOf(reader, env)).toEqual([]);
  });

  test.each(readers)("the %s's pod is a restricted one, with limits, probes and time to end", (reader) => {
    const name = `stigmer-${reader}`;
    const pod = podOf(name);
    expect(pod).toMatchObject({
      serviceAccountName: find("ServiceAccount", name).metadata.name,
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, runAsUser: 10_001, seccompProfile: { type: "RuntimeDefault" } },
    });
    const [container] = pod.containers;
    const own = Object.fromEntries(container!.env.map((each) => [each.name, each.value]));
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(drainSecondsOf(reader, own));
    expect(container).toMatchObject({
      resources: {
        requests: { cpu: expect.any(String), memory: expect.any(String) },
        limits: { cpu: expect.any(String), memory: expect.any(String) },
      },
      securityContext: {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ["ALL"] },
      },
      livenessProbe: expect.anything(),
      startupProbe: expect.anything(),
    });
    expect(container!.image).toMatch(new RegExp(`^${images[reader]}:\\d`));
    expect(container!.readinessProbe).toMatchObject(
      reader === "server"
        ? { exec: { command: ["node", "/opt/stigmer/health.ts"] } }
        : { httpGet: { path: "/readyz", port: "health" } },
    );
  });

  test("the servers have a certificate, and the runners who vouches for it, each where it is mounted", () => {
    const mounted = (reader: "server" | "runner"): Record<string, string[] | undefined> => {
      const { containers, volumes } = podOf(`stigmer-${reader}`);
      const tls = volumes.find(({ name }) => name === "tls")!.secret!;
      expect(tls).toMatchObject({ secretName: "stigmer-server-tls", defaultMode: 0o440 });
      const { mountPath } = containers[0]!.volumeMounts.find(({ name }) => name === "tls")!;
      return { [mountPath]: tls.items?.map(({ key }) => key) };
    };
    const valueOf = (reader: "server" | "runner", name: string): string | undefined =>
      podOf(`stigmer-${reader}`).containers[0]!.env.find((each) => each.name === name)?.value;
    expect(mounted("server")).toEqual({ "/etc/stigmer/tls": undefined });
    expect(valueOf("server", "STIGMER_TLS_CERT_FILE")).toBe("/etc/stigmer/tls/tls.crt");
    expect(valueOf("server", "STIGMER_TLS_KEY_FILE")).toBe("/etc/stigmer/tls/tls.key");
    expect(mounted("runner")).toEqual({ "/etc/stigmer/tls": ["ca.crt"] });
    expect(valueOf("runner", "STIGMER_TLS_CA_FILE")).toBe("/etc/stigmer/tls/ca.crt");

    const { hostname, protocol } = new URL(valueOf("runner", "STIGMER_BACKEND_ENDPOINT")!);
    expect(protocol).toBe("https:");
    const certificate = find("Certificate", "stigmer-server").spec;
    expect(certificate).toMatchObject({
      secretName: "stigmer-server-tls",
      dnsNames: expect.arrayContaining([hostname]),
    });
  });

  test.each(readers)("what goes with the %s is about the %s", (reader) => {
    const name = `stigmer-${reader}`;
    const labels = { "app.kubernetes.io/name": name };
    const { spec } = find("Deployment", name);
    expect(spec.template.metadata.labels).toMatchObject(labels);
    expect(spec.selector.matchLabels).toEqual(labels);
    expect(find("PodDisruptionBudget", name).spec.selector.matchLabels).toEqual(labels);
    expect(find("NetworkPolicy", name).spec.podSelector.matchLabels).toEqual(labels);
    expect(find("HorizontalPodAutoscaler", name).spec.scaleTargetRef.name).toBe(name);
  });

  test("the service leads to the servers", () => {
    expect(find("Service", "stigmer-server").spec.selector).toEqual({ "app.kubernetes.io/name": "stigmer-server" });
  });

  test("the template of the secrets has none", () => {
    const secrets = manifests.filter(({ kind }) => kind === "Secret");
    expect(secrets.length).toBe(2);
    for (const { stringData } of secrets) expect(Object.values(stringData ?? {}).join("")).toBe("");
  });
});

describe("the Dockerfiles", () => {
  const stages = ["server", "runner"].map(
    (name) => /^# The same in both[\s\S]*?\n\n/m.exec(read(`docker/${name}.Dockerfile`))?.[0],
  );

  test("build once for both: their first stage is the same", () => {
    expect(stages[0]).toMatch(/pnpm install --frozen-lockfile/);
    expect(stages[0]).toBe(stages[1]);
  });

  test("take the repository's own pnpm", () => {
    const { packageManager } = JSON.parse(readFileSync(join(folder, "../package.json"), "utf8")) as {
      packageManager: string;
    };
    expect(stages[0]).toContain(`ARG PNPM_VERSION=${packageManager.replace("pnpm@", "")}\n`);
  });
});
