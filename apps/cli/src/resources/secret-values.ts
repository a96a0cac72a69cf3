import { isMessage, type Message } from "@bufbuild/protobuf";
import { type EnvironmentValue, EnvironmentValueSchema } from "@stigmer/protos/environment/v1";

/** What the server answers in the place of a secret, and takes for the secret that it has. */
export const SECRET_MASK = "********";

/** All secret variables in a resource, wherever it keeps them, by the way that leads to them. */
export function secretValues(resource: Message | undefined): Map<string, EnvironmentValue> {
  const found = new Map<string, EnvironmentValue>();
  const visit = (value: unknown, path: string): void => {
    if (isMessage(value, EnvironmentValueSchema)) {
      if (value.isSecret) found.set(path, value);
    } else if (typeof value === "object" && value !== null && !ArrayBuffer.isView(value)) {
      for (const [key, inner] of Object.entries(value)) visit(inner, `${path}\0${key}`);
    }
  };
  visit(resource, "");
  return found;
}
