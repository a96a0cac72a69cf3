import type { ExecuteOptions, Sandbox } from "@stigmer/sandbox";
import { maskSecrets } from "./mask-secrets.ts";
import type { MergedEnvironment } from "./merge-environment.ts";

/**
 * The same sandbox, whose commands also see a run's environment: that differs from run to run, the sandbox is the
 * session's. Secrets that a command prints are struck out before anyone reads them: model, checkpoint, status or log.
 */
export function withEnvironment(sandbox: Sandbox, environment: MergedEnvironment): Sandbox {
  const mask = maskSecrets(environment.secrets);
  return {
    id: sandbox.id,
    backend: sandbox.backend,
    capabilities: sandbox.capabilities,
    root: sandbox.root,
    files: sandbox.files,
    async execute(command, options) {
      const stdout = options?.onStdout && mask.stream(options.onStdout);
      const stderr = options?.onStderr && mask.stream(options.onStderr);
      const masked: ExecuteOptions = {
        ...options,
        env: { ...environment.values, ...options?.env },
        ...(stdout && { onStdout: stdout.push }),
        ...(stderr && { onStderr: stderr.push }),
      };
      const result = await sandbox.execute(command, masked);
      stdout?.end();
      stderr?.end();
      return { ...result, stdout: mask.apply(result.stdout), stderr: mask.apply(result.stderr) };
    },
    dispose: () => sandbox.dispose(),
  };
}
