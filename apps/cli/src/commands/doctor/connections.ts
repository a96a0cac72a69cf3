import { connect } from "node:net";
import { once } from "node:events";
import { type Homes, readServerConfig } from "@stigmer/config";
import type { CommandIo } from "../../command-io.ts";
import { findTemporalProgram } from "../../daemon/temporal-program.ts";
import { faultOf, modelOf, type ModelSettings, nameOf } from "../model/model-settings.ts";
import type { Finding } from "./checks.ts";

/** A connection that a check makes. */
export interface Connection {
  readonly to: string;
  readonly why: string;
}

const PROVIDERS = { anthropic: "https://api.anthropic.com", openai: "https://api.openai.com/v1" } as const;
const ANSWERS_WITHIN_MS = 5_000;

/** Every connection that `doctor` makes. */
export function connectionsOf(settings: ModelSettings, { env }: CommandIo): Connection[] {
  const provider = providerUrl(settings);
  const temporal = temporalAddress(env);
  return [
    { to: new URL("/api/tags", settings.ollamaUrl).href, why: "whether an Ollama answers, and what it has" },
    ...(provider ? [{ to: provider, why: "whether the model's provider is reached, and what time it is there" }] : []),
    ...(temporal ? [{ to: temporal, why: "whether Temporal is reached" }] : []),
    { to: env["DOCKER_HOST"] || "unix:///var/run/docker.sock", why: "whether sandboxes can be Docker's" },
  ];
}

export function checkModel(settings: ModelSettings, offline: boolean): Finding {
  const model = modelOf(settings);
  const fault = faultOf(model, settings);
  if (model.provider === "none" || (fault !== undefined && !offline)) {
    return { state: "warn", message: "runs will fail: there is no model that can be used", fix: fault ?? "" };
  }
  return { state: "ok", message: nameOf(model) };
}

export function checkOllama({ ollamaModels, ollamaUrl }: ModelSettings, offline: boolean): Finding {
  if (offline) return { state: "ok", message: "not asked" };
  if (ollamaModels === undefined) return { state: "ok", message: `none answers at ${ollamaUrl}` };
  return { state: "ok", message: `${ollamaModels.length} models at ${ollamaUrl}` };
}

export interface ProviderAnswer {
  readonly finding: Finding;
  /** By the provider's clock, in milliseconds since 1970. */
  readonly time?: number;
}

/** Whatever it answers, it is there: no key is sent. */
export async function checkProvider(settings: ModelSettings): Promise<ProviderAnswer> {
  const url = providerUrl(settings);
  if (url === undefined) return { finding: { state: "ok", message: "none is needed" } };
  try {
    const response = await fetch(url, { method: "HEAD", signal: AbortSignal.timeout(ANSWERS_WITHIN_MS) });
    const time = Date.parse(response.headers.get("date") ?? "");
    return { finding: { state: "ok", message: `${url} answers` }, ...(!Number.isNaN(time) && { time }) };
  } catch (error) {
    const { cause } = error as { cause?: { code?: string } };
    const reason = cause?.code ?? (error as Error).message;
    const fix = "check the network, a proxy in the way, and the base URL of the provider";
    return { finding: { state: "fail", message: `${url} can't be reached (${reason})`, fix } };
  }
}

const MOST_SKEW_MS = 60_000;

/** A clock that is off makes certificates and tokens invalid. */
export function checkClock(time: number | undefined, now: number = Date.now()): Finding {
  if (time === undefined) return { state: "ok", message: "not compared with another one" };
  const skew = Math.round((now - time) / 1000);
  if (Math.abs(skew) * 1000 <= MOST_SKEW_MS) return { state: "ok", message: "agrees with the provider's" };
  const message = `${Math.abs(skew)} s ${skew > 0 ? "ahead of" : "behind"} the provider's`;
  return { state: "warn", message, fix: "turn on time synchronization (NTP)" };
}

export async function checkTemporal(homes: Homes, { env }: CommandIo, offline: boolean): Promise<Finding> {
  const address = temporalAddress(env);
  if (address === undefined) {
    const program = await findTemporalProgram(homes, env);
    return { state: "ok", message: program ? `not used; the program is ${program}` : "not used, and not installed" };
  }
  if (offline) return { state: "ok", message: `${address}, not asked` };
  const at = address.lastIndexOf(":");
  const socket = connect({
    host: address.slice(0, at),
    port: Number(address.slice(at + 1)),
    timeout: ANSWERS_WITHIN_MS,
  });
  socket.once("timeout", () => socket.destroy(new Error("no answer")));
  try {
    await once(socket, "connect");
    return { state: "ok", message: `${address} is reached` };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const fix = "start Temporal, correct TEMPORAL_SERVICE_ADDRESS, or unset it for the embedded engine";
    return { state: "fail", message: `${address} can't be reached (${code ?? message})`, fix };
  } finally {
    socket.destroy();
  }
}

function temporalAddress(env: CommandIo["env"]): string | undefined {
  const config = readServerConfig({ ...env, MODE: "local" });
  return config.ok && config.config.engine.type === "temporal" ? config.config.engine.address : undefined;
}

function providerUrl(settings: ModelSettings): string | undefined {
  const model = modelOf(settings);
  return model.provider === "none" || model.provider === "ollama"
    ? undefined
    : (model.baseUrl ?? PROVIDERS[model.provider]);
}
