// What no row of the table can say alone. Reads raw text, so that these problems come together with those of single variables.

import { type Environment, given } from "./environment.ts";
import { parseNetwork, splitList } from "./formats.ts";
import { parseModelName } from "./model-name.ts";
import { type ConfigProblem, missing, wrongValue } from "./problems.ts";
import { cloudSandboxType, keepsNetwork } from "./sandbox-config.ts";
import { type Mode, type Reader, type VariableName, variables } from "./variables.ts";

interface Rule {
  readonly readers: readonly Reader[];
  readonly mode: Mode | "both";
  readonly check: (text: (name: VariableName) => string | undefined) => ConfigProblem | undefined;
}

const rules: readonly Rule[] = [
  {
    readers: ["runner", "server"],
    mode: "local",
    check: (text) =>
      text("STIGMER_ENGINE") === "temporal" && text("TEMPORAL_SERVICE_ADDRESS") === undefined
        ? missing("TEMPORAL_SERVICE_ADDRESS")
        : undefined,
  },
  {
    readers: ["runner", "server"],
    mode: "both",
    check: (text) => together(text, "TEMPORAL_TLS_CERT_FILE", "TEMPORAL_TLS_KEY_FILE"),
  },
  {
    readers: ["runner", "server"],
    mode: "both",
    check: (text) => together(text, "TEMPORAL_TLS_KEY_FILE", "TEMPORAL_TLS_CERT_FILE"),
  },
  {
    readers: ["runner", "server"],
    mode: "both",
    check: (text) => {
      const value = text("TEMPORAL_TLS");
      const names = ["TEMPORAL_TLS_CA_FILE", "TEMPORAL_TLS_CERT_FILE", "TEMPORAL_API_KEY"] as const;
      const other = names.find((name) => text(name) !== undefined);
      if (value !== "false" || other === undefined) return undefined;
      return wrongValue("TEMPORAL_TLS", { value, secret: false, expected: `true, since ${other} is set` });
    },
  },
  {
    readers: ["runner"],
    mode: "cloud",
    check: (text) =>
      [text("SANDBOX_TYPE"), ...onRequest(text)].includes("daytona") && text("DAYTONA_API_KEY") === undefined
        ? missing("DAYTONA_API_KEY")
        : undefined,
  },
  {
    readers: ["runner"],
    mode: "local",
    check: (text) => networkOf(text, text("SANDBOX_TYPE") ?? "filesystem"),
  },
  {
    readers: ["runner"],
    mode: "cloud",
    check: (text) => networkOf(text, cloudSandboxType(text("SANDBOX_TYPE"), text("DAYTONA_API_KEY"))),
  },
  {
    readers: ["runner"],
    mode: "both",
    check: networkOnRequest,
  },
  {
    readers: ["runner"],
    mode: "local",
    check: (text) => dockerHostOf(text, [text("SANDBOX_TYPE"), ...onRequest(text)]),
  },
  {
    readers: ["runner"],
    mode: "cloud",
    check: (text) =>
      dockerHostOf(text, [cloudSandboxType(text("SANDBOX_TYPE"), text("DAYTONA_API_KEY")), ...onRequest(text)]),
  },
  {
    readers: ["runner", "server"],
    mode: "cloud",
    check: (text) => together(text, "REDIS_USERNAME", "REDIS_PASSWORD"),
  },
  {
    readers: ["runner", "server"],
    mode: "cloud",
    // Who names an authority relies on the connection being encrypted.
    check: (text) => {
      const value = text("REDIS_TLS");
      if (text("REDIS_CA_FILE") === undefined || value === "true") return undefined;
      const expected = "true, since REDIS_CA_FILE is set";
      return wrongValue("REDIS_TLS", { value: value ?? "", secret: false, expected });
    },
  },
  {
    readers: ["server"],
    mode: "cloud",
    check: (text) => together(text, "STIGMER_OIDC_ISSUER", "STIGMER_OIDC_AUDIENCE"),
  },
  {
    readers: ["server"],
    mode: "cloud",
    check: (text) => together(text, "STIGMER_OIDC_AUDIENCE", "STIGMER_OIDC_ISSUER"),
  },
  {
    readers: ["server"],
    mode: "cloud",
    check: (text) => {
      const value = text("STIGMER_RATE_LIMIT_BURST");
      const perSecond = text("STIGMER_RATE_LIMIT_PER_SECOND") ?? variables.STIGMER_RATE_LIMIT_PER_SECOND.cloud.value;
      // What is no number is told by its format, and compares as neither.
      if (value === undefined || !(Number(value) >= 1 && Number(value) < Number(perSecond))) return undefined;
      const expected = `at least STIGMER_RATE_LIMIT_PER_SECOND, which is ${perSecond}`;
      return wrongValue("STIGMER_RATE_LIMIT_BURST", { value, secret: false, expected });
    },
  },
  {
    readers: ["server"],
    mode: "cloud",
    check: (text) => together(text, "STIGMER_TLS_CERT_FILE", "STIGMER_TLS_KEY_FILE"),
  },
  {
    readers: ["server"],
    mode: "cloud",
    check: (text) => together(text, "STIGMER_TLS_KEY_FILE", "STIGMER_TLS_CERT_FILE"),
  },
  {
    readers: ["runner", "client"],
    mode: "both",
    check: (text) => {
      const provider = text("STIGMER_LLM_PROVIDER");
      const value = text("STIGMER_LLM_MODEL");
      const named = value === undefined ? undefined : parseModelName(value).provider;
      if (value === undefined || provider === undefined || named === undefined || named === provider) return undefined;
      const expected = `a model of the provider in STIGMER_LLM_PROVIDER, which is ${JSON.stringify(provider)}`;
      return wrongValue("STIGMER_LLM_MODEL", { value, secret: false, expected });
    },
  },
];

/** The problems that variables have with each other. */
export function problemsAcross(env: Environment, mode: Mode, reader: Reader): ConfigProblem[] {
  return rules
    .filter((rule) => rule.readers.includes(reader) && (rule.mode === mode || rule.mode === "both"))
    .flatMap((rule) => rule.check((name) => given(env, name)?.trim()) ?? []);
}

/** A policy that the sandbox can't keep is refused: whoever asked for it would rely on it. */
function networkOf(text: (name: VariableName) => string | undefined, sandbox: string): ConfigProblem | undefined {
  const value = text("SANDBOX_NETWORK");
  const wrong = (expected: string): ConfigProblem =>
    wrongValue("SANDBOX_NETWORK", { value: value ?? "", secret: false, expected });
  // What is no policy at all is told by its format.
  const policy = value === undefined ? undefined : parseNetwork(value);
  if (policy === undefined || keepsNetwork(sandbox, policy.type)) return undefined;
  return sandbox === "filesystem"
    ? wrong("full, all that a filesystem sandbox can keep; SANDBOX_TYPE=isolated keeps others")
    : wrong("off or full, all that a docker sandbox can keep");
}

/** What `SANDBOX_TYPES` names, as it stands there. */
function onRequest(text: (name: VariableName) => string | undefined): string[] {
  return splitList(text("SANDBOX_TYPES") ?? "");
}

/** No session gets around a policy by what it asks for. */
function networkOnRequest(text: (name: VariableName) => string | undefined): ConfigProblem | undefined {
  const network = text("SANDBOX_NETWORK") ?? "full";
  const policy = parseNetwork(network);
  const loose = policy && onRequest(text).find((type) => !keepsNetwork(type, policy.type));
  if (loose === undefined) return undefined;
  const expected = `sandboxes that can keep SANDBOX_NETWORK=${network}, which ${loose} can't`;
  return wrongValue("SANDBOX_TYPES", { value: text("SANDBOX_TYPES") ?? "", secret: false, expected });
}

function dockerHostOf(
  text: (name: VariableName) => string | undefined,
  sandboxes: readonly (string | undefined)[],
): ConfigProblem | undefined {
  const value = text("DOCKER_HOST");
  if (!sandboxes.includes("docker") || value === undefined || value.startsWith("unix:///")) return undefined;
  const expected = "the socket of an engine on this machine, unix:///…, for docker sandboxes";
  return wrongValue("DOCKER_HOST", { value, secret: false, expected });
}

function together(
  text: (name: VariableName) => string | undefined,
  one: VariableName,
  other: VariableName,
): ConfigProblem | undefined {
  return text(one) !== undefined && text(other) === undefined ? missing(other) : undefined;
}
