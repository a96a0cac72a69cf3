// The file promises once more, through the adapter: its paths, results and failures turned back into the port's.
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeSandboxConformance } from "@stigmer/sandbox/conformance";
import { afterAll, beforeAll, describe, it } from "vitest";
import { SandboxError, type SandboxErrorCode } from "../errors.ts";
import { filesystemCapabilities } from "../filesystem/capabilities.ts";
import { createFilesystemSandbox } from "../filesystem/index.ts";
import type { Sandbox, SandboxFiles } from "../sandbox.ts";
import { toDeepAgentsBackend, type DeepAgentsFailure, type DeepAgentsFileError } from "./index.ts";

/** What the adapter tells in words only. */
const words: readonly [RegExp, SandboxErrorCode][] = [
  [/does not exist/, "not-found"],
  [/leads (out|upwards)/, "outside-root"],
  [/is not a directory/, "not-directory"],
  [/is a directory/, "is-directory"],
  [/not UTF-8 text/, "not-text"],
  [/occurs \d+ times/, "ambiguous-match"],
  [/does not occur/, "no-match"],
  [/without NUL|an empty one|no regular file|too long/, "invalid-argument"],
];

function unwrap<T extends { readonly error?: undefined }>(result: T | DeepAgentsFailure): T {
  if (result.error === undefined) return result;
  const code = words.find(([pattern]) => pattern.test(result.error ?? ""))?.[1] ?? "backend-error";
  throw new SandboxError(code, result.error);
}

const codes: Readonly<Record<DeepAgentsFileError, SandboxErrorCode>> = {
  file_not_found: "not-found",
  is_directory: "is-directory",
  permission_denied: "permission",
  invalid_path: "outside-root",
};

function throughAdapter(sandbox: Sandbox): Sandbox {
  const backend = toDeepAgentsBackend(sandbox);
  const relative = (path: string): string => path.slice(sandbox.root.length + 1).replace(/\/$/, "");
  const paths = (infos: readonly { path: string; size: number; modified_at: string; is_dir: boolean }[]) =>
    infos.map(({ path, size, modified_at, is_dir }) => ({
      path: relative(path),
      size,
      modifiedAt: new Date(modified_at),
      type: is_dir ? ("directory" as const) : ("file" as const),
    }));
  const files: SandboxFiles = {
    ...sandbox.files,
    async read(path) {
      const [response] = await backend.downloadFiles([path]);
      if (response?.content) return response.content;
      throw new SandboxError(codes[response?.error ?? "invalid_path"], "downloadFiles");
    },
    async write(path, content, options) {
      if (options?.mode !== undefined) return sandbox.files.write(path, content, options);
      const [response] = await backend.uploadFiles([[path, Buffer.from(content as Uint8Array)]]);
      if (response?.error) throw new SandboxError(codes[response.error], "uploadFiles");
    },
    async edit(path, oldText, newText, options) {
      const { occurrences } = unwrap(await backend.edit(path, oldText, newText, options?.replaceAll));
      return { occurrences };
    },
    list: async (path = "") => paths(unwrap(await backend.ls(path)).files),
    glob: async (pattern, options) =>
      paths(unwrap(await backend.glob(pattern, options?.cwd)).files.filter(({ is_dir }) => !is_dir)),
    async grep(text, options = {}) {
      const found = unwrap(await backend.grep(text, options.path, options.glob, options.maxMatches));
      return { ...found, matches: found.matches.map((match) => ({ ...match, path: relative(match.path) })) };
    },
    remove: async (path) => void unwrap(await backend.delete(path)),
  };
  return { ...sandbox, files };
}

let directory: string;

beforeAll(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), "deepagents-conformance-")));
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

let made = 0;
describeSandboxConformance(
  {
    name: "the deepagents adapter",
    groups: ["files", "escape"],
    capabilities: filesystemCapabilities(),
    create: async () => throughAdapter(await createFilesystemSandbox({ rootDir: join(directory, `root-${made++}`) })),
    skip: [
      { test: "files: reads no more than it is allowed to", reason: "the protocol has no limit" },
      { test: "files: tells why it can't read", reason: "the protocol has one code for all that is wrong with a path" },
      {
        test: "files: does not wait for a named pipe",
        reason: "the protocol has one code for all that is wrong with a path",
      },
      {
        test: "files: creates parents, replaces files, refuses directories",
        reason: "the protocol has one code for all that is wrong with a path",
      },
      { test: "files: lists a directory by name", reason: "the protocol knows only files and directories" },
      { test: "files: globs", reason: "the protocol has no limit" },
      {
        test: "files: tells whether something exists, and removes it",
        reason: "delete tells the model that nothing was there",
      },
      { test: "escape: searches do not follow links", reason: "the protocol knows only files and directories" },
    ],
  },
  { describe, it },
);
