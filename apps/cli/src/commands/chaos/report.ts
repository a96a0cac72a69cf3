import type { CommandIo } from "../../command-io.ts";
import { createPaint } from "../../output/colors.ts";
import { formatDuration } from "../../output/durations.ts";
import { oneLine } from "../../output/plain-text.ts";
import { writeLine } from "../../output/write.ts";
import type { RepetitionResult } from "./chaos.ts";
import type { Undisturbed } from "./compare.ts";
import { type DurablePoint, namePoint } from "./durable-points.ts";
import { hashStatus } from "./normal-status.ts";
import type { Strike } from "./plan.ts";
import { hashTree } from "./workspace-tree.ts";

export interface SweepBegin {
  readonly undisturbed: Undisturbed;
  readonly points: readonly DurablePoint[];
  readonly strikes: readonly Strike[];
}

export interface SweepEnd {
  readonly strikes: number;
  readonly failures: readonly Strike[];
  readonly unknown: number;
}

/** Tells a sweep as it goes. */
export interface Report {
  unrepeatable(differences: readonly string[]): void;
  begin(sweep: SweepBegin): void;
  repetition(strike: Strike, result: RepetitionResult): void;
  end(sweep: SweepEnd): void;
}

export function createReport({ json = false }: { readonly json?: boolean }, io: CommandIo): Report {
  return json ? jsonReport(io) : tableReport(io);
}

function jsonReport(io: CommandIo): Report {
  const line = (object: object): void => writeLine(io.stdout, JSON.stringify(object));
  return {
    unrepeatable: (differences) => line({ type: "unrepeatable", differences }),
    begin: ({ undisturbed, points, strikes }) =>
      line({
        type: "undisturbed",
        points: points.map(namePoint),
        repetitions: strikes.length,
        statusHash: hashStatus(undisturbed.status),
        workspaceHash: hashTree(undisturbed.tree),
        toolCalls: [...undisturbed.toolCalls.values()],
        durationMs: undisturbed.durationMs,
      }),
    repetition: ({ point, victim }, { differences, unknown, statusHash, durationMs }) =>
      line({
        type: "repetition",
        point: namePoint(point),
        victim,
        same: differences.length === 0,
        unknown,
        differences,
        statusHash,
        durationMs,
      }),
    end: ({ strikes, failures, unknown }) =>
      line({ type: "summary", repetitions: strikes, different: failures.length, unknown }),
  };
}

function tableReport(io: CommandIo): Report {
  const paint = createPaint(io.stdout, io.env);
  const say = (text: string): void => writeLine(io.stdout, text);
  let widths = [0, 0];
  // As rows come, one by one: a sweep takes minutes, and is watched.
  const row = (point: string, victim: string, time: string, result: string): void =>
    say(`${point.padEnd(widths[0] ?? 0)}   ${victim.padEnd(widths[1] ?? 0)}   ${time.padStart(7)}   ${result}`);
  return {
    unrepeatable: (differences) =>
      writeLine(
        io.stderr,
        `Two undisturbed runs differ already, so what is told below need not come from a crash (a scripted model repeats itself: --scenario FILE): ${differences.join("; ")}`,
      ),
    begin({ undisturbed, points, strikes }) {
      const { toolCalls, durationMs, status } = undisturbed;
      const once = [...toolCalls.values()].filter((call) => call.once).length;
      say(
        `Undisturbed: ${formatDuration(durationMs)}, ${toolCalls.size} tool calls (${once} once only), status ${hashStatus(status).slice(0, 12)}.`,
      );
      say(`${points.length} durable points, ${strikes.length} repetitions.\n`);
      widths = [
        Math.max(5, ...strikes.map(({ point }) => namePoint(point).length)),
        Math.max(6, ...strikes.map(({ victim }) => victim.length)),
      ];
      row("POINT", "VICTIM", "TIME", "RESULT");
    },
    repetition({ point, victim }, { differences, unknown, durationMs }) {
      const time = durationMs === undefined ? "-" : formatDuration(durationMs);
      const honest = unknown === 0 ? "" : `, ${unknown} call${unknown === 1 ? "" : "s"} told as unknown`;
      const result =
        differences.length === 0
          ? paint("green", `same${honest}`)
          : paint("red", `DIFFERENT${honest}: ${oneLine(differences.join("; "), 500)}`);
      row(namePoint(point), victim, time, result);
    },
    end({ strikes, failures, unknown }) {
      const told = unknown === 0 ? "" : ` ${unknown} tool calls were told as unknown.`;
      say(
        failures.length === 0
          ? `\n${strikes} repetitions ended as the undisturbed run.${told}`
          : `\n${failures.length} of ${strikes} repetitions ended differently.${told}`,
      );
    },
  };
}
