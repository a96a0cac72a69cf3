import { fileURLToPath } from "node:url";
import { bundleWorkflowCode, DefaultLogger, type WorkflowBundleOption } from "@temporalio/worker";

/** As this file runs: TypeScript from the source, JavaScript from the build. */
const fromSource = import.meta.url.endsWith(".ts");
const beside = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/**
 * What all workflows of a worker share, with all that it imports: our messages' descriptors. Each workflow has every other module
 * for itself, evaluated at its start, which for these would be most of what a workflow costs the server. So nothing here, nor
 * below it, may remember anything of the workflow that calls it; the worker freezes what they export.
 */
const SHARED = beside("payload-converter.ts");

let made: Promise<WorkflowBundleOption> | undefined;

/**
 * The workflows, ready for `Worker.create({ workflowBundle })`. The build has made them; where this package runs from its
 * source they are made now, once for each process, which takes about a second.
 */
export function workflowBundle(): Promise<WorkflowBundleOption> {
  if (!fromSource) return Promise.resolve({ codePath: beside("workflow-bundle.js") });
  made ??= makeWorkflowBundle();
  return made;
}

/**
 * Bundles the workflows from their source, for the build. The same source makes the same code, on every machine.
 *
 * @internal
 */
export async function makeWorkflowBundle(): Promise<{ readonly code: string }> {
  const said: string[] = [];
  try {
    return await bundleWorkflowCode({
      workflowsPath: beside("workflow/index.ts"),
      workflowInterceptorModules: [beside("workflow/interceptors.ts")],
      payloadConverterPath: SHARED,
      preloadModules: [SHARED],
      logger: new DefaultLogger("INFO", ({ message }) => void said.push(message)),
      webpackConfigHook: (config) => ({
        ...config,
        // Names in the code are relative to this, so that no machine's paths stand in it.
        context: beside("../.."),
        output: { ...config.output, devtoolModuleFilenameTemplate: "/@stigmer/engine/[resource-path]" },
        // Or Webpack drops an import of which nothing is used.
        module: { ...config.module, rules: [...(config.module?.rules ?? []), { test: SHARED, sideEffects: true }] },
        resolve: { ...config.resolve, conditionNames: ["@stigmer/source", "..."] },
      }),
    });
  } catch (error) {
    throw new Error(`The workflows could not be bundled. Webpack said: ${said.join("\n")}`, { cause: error });
  }
}
