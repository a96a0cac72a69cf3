// Creates a run and dies at the moment at which the engine would be told of it: after the commit, before anything else.
import { createClient, createRouterTransport } from "@connectrpc/connect";
import { AgentCommandController } from "@stigmer/protos/agent/v1";
import { AgentExecutionCommandController } from "@stigmer/protos/agentexecution/v1";
import { createRunStatuses } from "../executions/run-statuses.ts";
import { LOCAL_OWNER } from "../interceptors/principal.ts";
import { silentLogger } from "../logger.ts";
import { createSecrets } from "../secrets/create-secrets.ts";
import { given } from "../services/__fixtures__/open-test-server.ts";
import { createServices } from "../services/create-services.ts";
import { openSqliteStore } from "../store/sqlite/create-store.ts";

const [dataDir = "", key = ""] = process.argv.slice(2);
const store = openSqliteStore({ dataDir });
const runs = createRunStatuses({ store, logger: silentLogger });
const dead = async (): Promise<never> => {
  process.kill(process.pid, "SIGKILL");
  // The signal is on its way; nothing else may happen.
  return new Promise<never>(() => {});
};
const { register } = createServices({
  store,
  runs,
  engine: { start: dead, cancel: dead, pause: dead, resume: dead, deliver: dead },
  secrets: createSecrets(Buffer.from(key, "base64url")),
  principalOf: () => LOCAL_OWNER,
  mode: "local",
  logger: silentLogger,
});
const transport = createRouterTransport(register);
const agent = await createClient(AgentCommandController, transport).create(given.agent("a"));
await createClient(AgentExecutionCommandController, transport).create(given.execution({ agentId: agent.metadata?.id }));
console.log("still alive");
