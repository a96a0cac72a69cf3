// A part of a measurement in a process of its own: what it costs is not counted as the server's, nor as another part's.
import { fork } from "node:child_process";
import { basename } from "node:path";

/** What a program can be asked for. */
type Methods = Readonly<Record<string, (input: never) => Promise<unknown>>>;

type InputOf<M extends Methods, K extends keyof M> = M[K] extends (input: infer I) => unknown ? I : never;

export interface Program<M extends Methods> extends AsyncDisposable {
  ask<K extends keyof M>(method: K, input: InputOf<M, K>): Promise<Awaited<ReturnType<M[K]>>>;
}

interface Question {
  readonly number: number;
  readonly method: string;
  readonly input: unknown;
}

type Answer = { readonly number: number } & ({ readonly value: unknown } | { readonly error: string });

/** Starts a program, which calls `serve`. */
export function openProgram<M extends Methods>(file: URL): Program<M> {
  const name = basename(file.pathname);
  const child = fork(file, {
    execArgv: ["--conditions=@stigmer/source"],
    serialization: "advanced",
  });
  const waiting = new Map<number, PromiseWithResolvers<unknown>>();
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  let asked = 0;
  child.on("message", (answer: Answer) => {
    const question = waiting.get(answer.number);
    waiting.delete(answer.number);
    if ("error" in answer) question?.reject(new Error(`${name}: ${answer.error}`));
    else question?.resolve(answer.value);
  });
  child.once("exit", (code) => {
    for (const question of waiting.values()) question.reject(new Error(`${name} ended with ${code}.`));
  });
  return {
    ask: (method, input) => {
      asked += 1;
      const question = Promise.withResolvers<unknown>();
      waiting.set(asked, question);
      child.send({ number: asked, method: String(method), input } satisfies Question);
      return question.promise as never;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await gone;
    },
  };
}

/** In the program: answers what it is asked, until its parent is gone. */
export function serve(methods: Methods): void {
  process.on("message", ({ number, method, input }: Question) => {
    const work = methods[method]?.(input as never) ?? Promise.reject(new Error(`There is no ${method}.`));
    work.then(
      (value) => process.send?.({ number, value } satisfies Answer),
      (error: unknown) => process.send?.({ number, error: String((error as Error).stack ?? error) } satisfies Answer),
    );
  });
  process.once("disconnect", () => process.exit(0));
}
