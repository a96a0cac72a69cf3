// Foreign failures in our words. LangChain wraps a model's error in up to six layers: what counts lies at the bottom.
import { AgentError, type AgentErrorCode } from "./errors.ts";
import type { ModelConfig } from "./models/model-config.ts";

export interface ToAgentErrorOptions {
  /** How often the model was asked. Default 1. */
  readonly attempts?: number;
}

/** Turns whatever a run threw into an `AgentError`. With the model's config the message names it, and hides its key. */
export function toAgentError(
  error: unknown,
  model?: ModelConfig,
  { attempts = 1 }: ToAgentErrorOptions = {},
): AgentError {
  if (AgentError.is(error)) return error;
  const chain = causesOf(error);
  const inner = chain.find((link) => AgentError.is(link));
  if (AgentError.is(inner)) return inner;
  const code = codeOf(chain);
  const key = model !== undefined && "apiKey" in model ? model.apiKey : "";
  const tries = attempts === 1 ? "" : ` (asked ${attempts} times)`;
  const detail = hideKeys(detailOf(chain), key) + tries;
  // A header that can't be sent is quoted by the HTTP client with the key in it: such causes are not kept.
  const keepCause = key === "" || !chain.some((link) => textOf(link).includes(key));
  return new AgentError(code, messages[code](describe(model), detail), keepCause ? { cause: error } : undefined);
}

/** Whether the same call may succeed when it is made again. */
export function isRetryable(error: unknown): boolean {
  const chain = causesOf(error);
  const code = codeOf(chain);
  if (code === "model-bad-answer") return !chain.some((link) => link["retryable"] === false);
  return code === "model-rate-limited" || code === "model-overloaded" || code === "model-unreachable";
}

interface ModelWords {
  readonly name: string;
  readonly where: string;
  readonly keyHint: string;
  readonly missingHint: string;
}

const messages: Readonly<Record<AgentErrorCode, (model: ModelWords, detail: string) => string>> = {
  "model-auth": ({ name, keyHint }, detail) => `${name} refused the credentials: ${detail}. ${keyHint}`,
  "model-not-found": ({ name, missingHint }, detail) => `${name} was not found: ${detail}. ${missingHint}`,
  "model-rate-limited": ({ name }, detail) =>
    `${name} refuses more requests: ${detail}. Wait and run again, or raise the account's limit.`,
  "model-overloaded": ({ name }, detail) => `${name} could not answer: ${detail}. Run again in a while.`,
  "model-unreachable": ({ name, where }, detail) =>
    `${name} can't be reached${where}: ${detail}. Check the address, the network and that the service is running.`,
  "model-bad-answer": ({ name, where }, detail) =>
    `${name} gave an answer that can't be read${where}: ${detail}. Check that the address is a model's, then run again.`,
  "model-refused": ({ name }, detail) =>
    `${name} refused to answer: ${detail}. Change the message or the agent's instructions, or use another model.`,
  "model-out-of-credit": ({ name }, detail) =>
    `The account of ${name} is out of credit: ${detail}. Add credit or raise its limit, or use another model.`,
  "context-too-long": ({ name }, detail) =>
    `The conversation is too long for ${name}: ${detail}. Start a new session or use a model with a longer context.`,
  "recursion-limit": (_, detail) =>
    `The run took more steps than allowed: ${detail}. Raise the recursion limit, or make the task smaller.`,
  "limit-exceeded": (_, detail) => `The run has reached a limit: ${detail}. Raise the limit, or make the task smaller.`,
  "loop-detected": (_, detail) => `The agent went round in circles: ${detail}. Make clearer what it is to do.`,
  "invalid-agent": (_, detail) => `The agent can't be built: ${detail}. Correct its description.`,
  "mcp-server": (_, detail) => `An MCP server can't be used: ${detail}. Check its description, and that it runs.`,
  checkpoint: (_, detail) =>
    `The run's checkpoints can't be read or written: ${detail}. Check the disk, then run the execution again.`,
  "checkpoint-conflict": (_, detail) =>
    `The conversation has gone on without this run: ${detail}. Run the execution again, unless somebody else has it.`,
  paused: (_, detail) => `The run was paused: ${detail}. Look at what it says, then resume it.`,
  "waiting-for-approval": (_, detail) =>
    `The run waits for approval: ${detail}. Approve, edit, reject or skip the call; the run goes on then.`,
  unknown: (_, detail) => `The run failed: ${detail}. Run it again; if it fails again, look at the runner's log.`,
};

function describe(model: ModelConfig | undefined): ModelWords {
  if (model === undefined) {
    const name = "The model";
    return { name, where: "", keyHint: "Check the API key.", missingHint: "Check the model's name." };
  }
  const name = `Model ${model.model} (${model.provider})`;
  const where = model.baseUrl === undefined ? "" : ` at ${withoutCredentials(model.baseUrl)}`;
  if (model.provider === "ollama") {
    const missingHint = `Run \`ollama pull ${model.model}\`, or name a model that \`ollama list\` shows.`;
    return { name, where, keyHint: "Check what stands before Ollama.", missingHint };
  }
  const variable = model.provider === "anthropic" ? "ANTHROPIC_API_KEY" : "OPENAI_API_KEY";
  const keyHint = `Check the API key (STIGMER_LLM_API_KEY or ${variable}); a runner takes another one when it starts: \`stigmer local restart\`.`;
  return { name, where, keyHint, missingHint: "Check the model's name and that the account may use it." };
}

function withoutCredentials(url: string): string {
  return url.replace(/\/\/[^/@]*@/, "//");
}

/** From the error itself down to its innermost cause. */
function causesOf(error: unknown): Record<string, unknown>[] {
  const chain: Record<string, unknown>[] = [];
  let link: unknown = error;
  while (typeof link === "object" && link !== null && !chain.includes(link as Record<string, unknown>)) {
    chain.push(link as Record<string, unknown>);
    link = (link as Record<string, unknown>)["cause"];
  }
  return chain.length > 0 ? chain : [{ message: String(error) }];
}

function codeOf(chain: readonly Record<string, unknown>[]): AgentErrorCode {
  // The innermost error knows best; what wraps it may have lost its status.
  for (const link of chain.toReversed()) {
    const code =
      codeByName(link) ?? codeByMessage(link) ?? codeByStatus(link) ?? codeByType(link) ?? codeByNetwork(link);
    if (code !== undefined) return code;
  }
  return "unknown";
}

function codeByName({ name, code, lc_error_code: lcCode }: Record<string, unknown>): AgentErrorCode | undefined {
  if (name === "GraphRecursionError" || lcCode === "GRAPH_RECURSION_LIMIT") return "recursion-limit";
  if (name === "ConfigurationError") return "invalid-agent";
  if (name === "ContextOverflowError" || lcCode === "CONTEXT_OVERFLOW" || code === "context_length_exceeded") {
    return "context-too-long";
  }
  if (code === "ERR_SQLITE_ERROR") return "checkpoint";
  if (name === "Refusal" || code === "content_policy_violation" || code === "content_filter") return "model-refused";
  return name === "UnreadableAnswer" ? "model-bad-answer" : undefined;
}

const codesByMessage: readonly (readonly [RegExp, AgentErrorCode])[] = [
  [
    /prompt is too long|maximum context length|context_length_exceeded|exceeds? the (available )?context/i,
    "context-too-long",
  ],
  [/credit balance is too low|exceeded your current quota|insufficient_quota|usage limit/i, "model-out-of-credit"],
  [/content filtering policy|content[ _]policy|safety system/i, "model-refused"],
  [/malformed server-sent event|could not parse message into JSON|\bJSON input\b|\bin JSON at\b/i, "model-bad-answer"],
];

function codeByMessage(link: Record<string, unknown>): AgentErrorCode | undefined {
  const text = `${textOf(link)} ${typeof link["error"] === "string" ? link["error"] : ""}`;
  return codesByMessage.find(([pattern]) => pattern.test(text))?.[1];
}

function codeByStatus(link: Record<string, unknown>): AgentErrorCode | undefined {
  // Ollama's client says `status_code`.
  const status = [link["status"], link["statusCode"], link["status_code"]].find((value) => typeof value === "number");
  if (typeof status !== "number") return undefined;
  if (status === 401 || status === 403) return "model-auth";
  if (status === 402) return "model-out-of-credit";
  if (status === 404) return "model-not-found";
  if (status === 413) return "context-too-long";
  if (status === 429) return "model-rate-limited";
  return status === 408 || status >= 500 ? "model-overloaded" : undefined;
}

const codesByType: Readonly<Record<string, AgentErrorCode>> = {
  authentication_error: "model-auth",
  permission_error: "model-auth",
  not_found_error: "model-not-found",
  rate_limit_error: "model-rate-limited",
  overloaded_error: "model-overloaded",
  api_error: "model-overloaded",
  server_error: "model-overloaded",
  service_unavailable_error: "model-overloaded",
  requests: "model-rate-limited",
  tokens: "model-rate-limited",
  rate_limit_exceeded: "model-rate-limited",
  insufficient_quota: "model-out-of-credit",
  billing_error: "model-out-of-credit",
};

/** A failure in mid-answer comes inside the stream, without a status. */
function codeByType(link: Record<string, unknown>): AgentErrorCode | undefined {
  const said = /"type":\s*"(\w+_error)"/.exec(textOf(link))?.[1];
  const words = [said, link["type"], link["code"], field(link["error"], "type"), field(link["error"], "code")];
  return words
    .map((word) => (typeof word === "string" ? codesByType[word] : undefined))
    .find((code) => code !== undefined);
}

const networkCodes = /^(ECONN|ENOTFOUND|ETIMEDOUT|EAI_|EHOST|ENET|EPIPE|UND_ERR|ERR_STREAM_PREMATURE)/;

function codeByNetwork({ name, code, message }: Record<string, unknown>): AgentErrorCode | undefined {
  if (typeof code === "string" && networkCodes.test(code)) return "model-unreachable";
  if (name === "APIConnectionError" || name === "APIConnectionTimeoutError" || name === "TimeoutError")
    return "model-unreachable";
  const broken =
    /^(fetch failed|terminated|Premature close|Connection error\.?|Did not receive done or success response.*)$/;
  return typeof message === "string" && broken.test(message) ? "model-unreachable" : undefined;
}

/** What the service itself said, without the wrapping. */
function detailOf(chain: readonly Record<string, unknown>[]): string {
  const texts = chain.toReversed().map((link) => {
    // { error: { error: { message } } } is Anthropic's, { error: { message } } OpenAI's, { error: "…" } Ollama's.
    const said = [field(field(link["error"], "error"), "message"), field(link["error"], "message"), link["error"]];
    const own = said.find((value) => typeof value === "string" && value !== "") ?? textOf(link);
    return String(own).replace(/\s*Troubleshooting URL:.*$/s, "");
  });
  const text = texts.find((candidate) => candidate.trim() !== "" && !candidate.includes("[object Object]"));
  const line = (text ?? "no reason was given").trim().replace(/\s+/g, " ");
  return (line.length > 500 ? `${line.slice(0, 500)}…` : line).replace(/\.$/, "");
}

function textOf({ message }: Record<string, unknown>): string {
  return typeof message === "string" ? message : "";
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function hideKeys(text: string, key: string): string {
  const known = key === "" ? text : text.replaceAll(key, "********");
  // Services quote keys back in part ("Incorrect API key provided: sk-ab***yz").
  return known.replace(/\b(sk|pk|key)-[\w*.-]{4,}/g, "********");
}
