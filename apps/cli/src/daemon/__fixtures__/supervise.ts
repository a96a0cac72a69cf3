// `stigmer internal supervise` over fake children.
import { resolveHome } from "@stigmer/config";
import { supervise } from "../../commands/local/supervise.ts";
import { fakeChildren, restarts } from "./fake-daemon.ts";

const [directory = "", , port = "0"] = process.argv.slice(2);
const { logsDir } = resolveHome(process.env);
const exitCode = await supervise(
  { port: Number(port), children: fakeChildren(directory, logsDir), restarts },
  {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    cwd: process.cwd(),
    onSignal(listener) {
      process.on("SIGTERM", listener).on("SIGINT", listener);
      return () => process.off("SIGTERM", listener).off("SIGINT", listener);
    },
  },
);
process.exit(exitCode);
