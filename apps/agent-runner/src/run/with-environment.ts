import type { ExecuteOptions, Sandbox, SandboxFiles } from "@stigmer/sandbox";
import { maskListeners, maskProcess } from "./mask-process.ts";
import { maskSecrets, type SecretMask } from "./mask-secrets.ts";
import type { MergedEnvironment } from "./merge-environment.ts";

/**
 * The same sandbox, whose commands also see a run's environment: that differs from run to run, the sandbox is the
 * session's. Secrets that a command prints, or wrote into a file, are struck out before anyone reads them: model,
 * checkpoint, status or log.
 */
export function withEnvironment(sandbox: Sandbox, environment: MergedEnvironment): Sandbox {
  const mask = maskSecrets(environment.secrets);
  return {
    id: sandbox.id,
    backend: sandbox.backend,
    capabilities: sandbox.capabilities,
    root: sandbox.root,
    files: withMask(sandbox.files, mask),
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
    async spawn(command, options) {
      const masked = maskListeners({ ...options, env: { ...environment.values, ...options?.env } }, mask);
      const process = await sandbox.spawn(command, masked.options);
      void process.wait().then(masked.end, masked.end);
      return maskProcess(process, mask);
    },
    processes: async () => (await sandbox.processes()).map((process) => maskProcess(process, mask)),
    async process(id) {
      const process = await sandbox.process(id);
      return process && maskProcess(process, mask);
    },
    dispose: (options) => sandbox.dispose(options),
  };
}

/** The same files, read without the secrets in them. What is written is written as it is. */
function withMask(files: SandboxFiles, mask: SecretMask): SandboxFiles {
  return {
    ...files,
    read: async (path, options) => mask.applyToBytes(await files.read(path, options)),
    readText: async (path, options) => mask.apply(await files.readText(path, options)),
    download: async (paths) => (await files.download(paths)).map((bytes) => mask.applyToBytes(bytes)),
    async grep(text, options) {
      const { matches, truncated } = await files.grep(text, options);
      return { matches: matches.map((match) => ({ ...match, text: mask.apply(match.text) })), truncated };
    },
  };
}
