import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createRouterTransport, type Transport } from "@connectrpc/connect";
import { AgentExecutionSchema, type AgentExecution } from "@stigmer/protos/agentexecution/v1";
import { ExecutionContextQueryController, type ExecutionContextSchema } from "@stigmer/protos/executioncontext/v1";
import { describe, expect, it } from "vitest";
import type { EnvironmentLayer } from "./merge-environment.ts";
import { readContext, runVariables } from "./run-variables.ts";

type Context = MessageInitShape<typeof ExecutionContextSchema>;
type Data = NonNullable<NonNullable<Context["spec"]>["data"]>;

const asked: string[] = [];

/** A server whose contexts answer so. */
function server(answer: Data | Code): Transport {
  return createRouterTransport((router) => {
    router.service(ExecutionContextQueryController, {
      getByReference: ({ org, slug, scope }): Context => {
        asked.push(`${scope} ${org}/${slug}`);
        if (typeof answer === "number") throw new ConnectError("no", answer);
        return { spec: { data: answer } };
      },
    });
  });
}

function run(runtimeEnv: Data): AgentExecution {
  return create(AgentExecutionSchema, { metadata: { id: "aex-1", org: "acme" }, spec: { runtimeEnv } });
}

async function readRunVariables(transport: Transport, execution: AgentExecution): Promise<EnvironmentLayer> {
  return runVariables(execution, await readContext(transport, execution));
}

const masked = { value: "********", isSecret: true };

async function valuesOf(transport: Transport, runtimeEnv: Data): Promise<Record<string, string>> {
  const variables = await readRunVariables(transport, run(runtimeEnv));
  return Object.fromEntries(Object.entries(variables).map(([name, { value }]) => [name, value]));
}

describe("a run's variables", () => {
  it("takes secrets from the run's context, which is found by the run's id", async () => {
    const context = { TOKEN: { value: "s3cret", isSecret: true }, REGION: { value: "eu" } };
    const variables = await readRunVariables(server(context), run({ TOKEN: masked, REGION: { value: "eu" } }));
    expect(variables["TOKEN"]).toMatchObject({ value: "s3cret", isSecret: true });
    expect(variables["REGION"]).toMatchObject({ value: "eu", isSecret: false });
    expect(asked.at(-1)).toBe("0 acme/aex-1");
  });

  it.each([Code.NotFound, Code.Unimplemented])(
    "does with what the run says on a server without contexts (%i)",
    async (code) => {
      const clear = { TOKEN: { value: "s3cret", isSecret: true } };
      expect(await valuesOf(server(code), clear)).toEqual({ TOKEN: "s3cret" });
      expect(await valuesOf(server(code), {})).toEqual({});
    },
  );

  it("lets the run overrule its context, and takes what only the context has", async () => {
    const context = { A: { value: "context" }, B: { value: "context" } };
    expect(await valuesOf(server(context), { A: { value: "run" } })).toEqual({ A: "run", B: "context" });
  });

  it("never takes the mask for a value", async () => {
    await expect(valuesOf(server(Code.NotFound), { TOKEN: masked })).rejects.toThrow(
      'spec.runtime_env["TOKEN"]: the secret is not to be had: the run has no context any more',
    );
    await expect(valuesOf(server({ TOKEN: masked }), { TOKEN: masked })).rejects.toThrow("this runner may not see it");
    expect(await valuesOf(server(Code.NotFound), { STARS: { value: "********" } })).toEqual({ STARS: "********" });
  });

  it("does not blame the run for a server that is away", async () => {
    await expect(valuesOf(server(Code.Unavailable), {})).rejects.toMatchObject({ code: "unavailable" });
  });
});
