// The hold on a running container: it runs as long as somebody holds its main process. Started when it is needed and doesn't
// run, since a command may have brought it down, or somebody stopped it.
import { SandboxError } from "../errors.ts";
import { containerState, killContainer } from "./container.ts";
import { EngineFault, type Engine } from "./engine.ts";
import { createKeeper, type Keeper, type KeeperOptions } from "./keeper.ts";

export interface HoldOptions {
  readonly engine: Engine;
  readonly container: string;
  readonly keeping: KeeperOptions;
  /** Whether one that runs already is taken from who holds it, which ends what runs in it. */
  readonly takesOver: boolean;
}

export interface Hold {
  /** Throws `sandbox-gone` when there is no such container any more, or after `end`. */
  keeper(): Promise<Keeper>;
  /** Undefined when the container doesn't run, as far as is known. */
  current(): Keeper | undefined;
  /** Ends everything in the container. One that was taken over is left alone. */
  end(): Promise<void>;
  /** Whether it runs, held by somebody else. */
  isTaken(): Promise<boolean>;
}

export function createHold({ engine, container, keeping, takesOver }: HoldOptions): Hold {
  let starting: Promise<Keeper> | undefined;
  let current: Keeper | undefined;
  let ended = false;

  const start = async (): Promise<Keeper> => {
    try {
      if (ended) throw gone();
      if (takesOver && (await containerState(engine, container)) === "running") await killContainer(engine, container);
      // Held before it is started: it ends when nobody holds it.
      const socket = await engine.open(`/containers/${container}/attach?stream=1&stdin=1&stdout=1`);
      try {
        await engine.call("POST", `/containers/${container}/start`);
      } catch (error) {
        socket.destroy();
        throw error;
      }
      current = await createKeeper(socket, keeping);
      return current;
    } catch (error) {
      if (!(error instanceof EngineFault)) throw error;
      if ((await containerState(engine, container)) === "gone") throw gone(error);
      throw new SandboxError("backend-error", `The engine does not start the container: ${error.message}`, {
        cause: error,
      });
    } finally {
      starting = undefined;
    }
  };

  const gone = (cause?: unknown): SandboxError =>
    new SandboxError("sandbox-gone", `The container ${container.slice(0, 12)} is gone. Make a new sandbox.`, { cause });

  const isTaken = async (): Promise<boolean> =>
    takesOver && current?.isOpen() !== true && (await containerState(engine, container)) === "running";

  return {
    isTaken,
    async keeper() {
      if (current?.isOpen() === true && !ended) return current;
      starting ??= start();
      return starting;
    },
    current: () => (current?.isOpen() === true ? current : undefined),
    async end() {
      ended = true;
      await starting?.catch(() => {});
      if (!(await isTaken())) await killContainer(engine, container);
      current?.close();
    },
  };
}
