import { styleText } from "node:util";
import type { CommandIo, OutputStream } from "../command-io.ts";

export type Color = Parameters<typeof styleText>[0];
export type Paint = (color: Color, text: string) => string;

/** Colours on a terminal alone, never with `NO_COLOR` (no-color.org); `FORCE_COLOR` asks for them elsewhere. */
export function createPaint(stream: OutputStream, env: CommandIo["env"]): Paint {
  const forced = env["FORCE_COLOR"] !== undefined && env["FORCE_COLOR"] !== "0";
  const enabled = !env["NO_COLOR"] && env["TERM"] !== "dumb" && (forced || stream.isTTY === true);
  return enabled ? (color, text) => styleText(color, text, { validateStream: false }) : (_, text) => text;
}
