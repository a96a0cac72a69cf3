import { randomBytes } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { AgentSchema } from "@stigmer/protos/agent/v1";
import { AgentExecutionSchema } from "@stigmer/protos/agentexecution/v1";
import { EnvironmentSchema, type Environment } from "@stigmer/protos/environment/v1";
import { SessionSchema } from "@stigmer/protos/session/v1";
import { describe, expect, it } from "vitest";
import { createSecrets } from "./create-secrets.ts";
import { SecretsError } from "./errors.ts";
import { SECRET_MASK } from "./secrets.ts";

const secrets = createSecrets(randomBytes(32));

function environment(data: Record<string, { value: string; isSecret?: boolean }>): Environment {
  return create(EnvironmentSchema, { spec: { data } });
}

describe("secrets", () => {
  it("leaves no secret in what is stored, and everything else as it was", () => {
    const clear = environment({
      TOKEN: { value: "hunter2-token", isSecret: true },
      REGION: { value: "eu" },
      LATER: { value: "", isSecret: true },
    });
    const sealed = secrets.seal(clear);
    expect(Buffer.from(toBinary(EnvironmentSchema, sealed)).toString("latin1")).not.toContain("hunter2-token");
    expect(sealed.spec?.data["REGION"]?.value).toBe("eu");
    expect(sealed.spec?.data["LATER"]?.value).toBe("");
    expect(clear.spec?.data["TOKEN"]?.value).toBe("hunter2-token");
    expect(secrets.open(sealed)).toEqual(clear);
  });

  it("covers every message that carries values", () => {
    const agent = create(AgentSchema, { spec: { envSpec: { data: { A: { value: "s3cret", isSecret: true } } } } });
    const execution = create(AgentExecutionSchema, {
      spec: { runtimeEnv: { B: { value: "s3cret", isSecret: true } } },
    });
    expect(JSON.stringify(secrets.seal(agent))).not.toContain("s3cret");
    expect(JSON.stringify(secrets.mask(execution))).not.toContain("s3cret");
    expect(secrets.open(secrets.seal(execution))).toEqual(execution);
  });

  it("passes other messages unchanged", () => {
    const session = create(SessionSchema, { spec: { subject: "x" } });
    expect(secrets.seal(session)).toBe(session);
  });

  it("takes what was read and applied again as unchanged", () => {
    const stored = secrets.seal(environment({ TOKEN: { value: "one", isSecret: true } }));
    const read = secrets.mask(stored);
    expect(read.spec?.data["TOKEN"]?.value).toBe(SECRET_MASK);
    const again = secrets.seal(read, stored);
    expect(secrets.open(again).spec?.data["TOKEN"]?.value).toBe("one");
    expect(secrets.equal(again, stored)).toBe(true);
  });

  it("takes what another key sealed as another value, so that it can be given anew", () => {
    const lost = createSecrets(randomBytes(32)).seal(environment({ TOKEN: { value: "one", isSecret: true } }));
    const anew = secrets.seal(environment({ TOKEN: { value: "one", isSecret: true } }), lost);
    expect(secrets.equal(anew, lost)).toBe(false);
    expect(secrets.equal(lost, lost)).toBe(true);
    expect(secrets.open(anew).spec?.data["TOKEN"]?.value).toBe("one");
  });

  it("compares values, not their salted encryptions", () => {
    const [one, same, other] = ["one", "one", "two"].map((value) =>
      secrets.seal(environment({ TOKEN: { value, isSecret: true } })),
    ) as [Environment, Environment, Environment];
    expect(one).not.toEqual(same);
    expect(secrets.equal(one, same)).toBe(true);
    expect(secrets.equal(one, other)).toBe(false);
    expect(secrets.equal(one, environment({ TOKEN: { value: "one", isSecret: false } }))).toBe(false);
    expect(secrets.equal(one, environment({}))).toBe(false);
  });

  it("does not open under another key or another name", () => {
    const sealed = secrets.seal(environment({ TOKEN: { value: "one", isSecret: true } }));
    expect(() => createSecrets(randomBytes(32)).open(sealed)).toThrow(SecretsError);
    const moved = environment({ OTHER: { value: sealed.spec?.data["TOKEN"]?.value ?? "", isSecret: true } });
    expect(() => secrets.open(moved)).toThrow(/OTHER can't be decrypted/);
  });

  it("seals a value that looks sealed already", () => {
    const tricky = environment({ TOKEN: { value: "sealed:v1:AAAA", isSecret: true } });
    expect(secrets.open(secrets.seal(tricky))).toEqual(tricky);
  });
});
