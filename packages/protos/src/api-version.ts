/** `api_version` of agents, skills, environments, sessions, runs: of all kinds but those below. */
export const agenticApiVersion = "agentic.stigmer.ai/v1";

/** `api_version` of API keys. */
export const iamApiVersion = "iam.stigmer.ai/v1";

/** `api_version` of organizations. */
export const tenancyApiVersion = "tenancy.stigmer.ai/v1";

export type ApiVersion = typeof agenticApiVersion | typeof iamApiVersion | typeof tenancyApiVersion;
