const longestError = 8_000;

/** `at name (file:1:2)`, `at file:1:2`, `at name (<anonymous>)`. */
const stackFrame =
  /^\s*at (.+ \((file:\/\/|node:|\/).*:\d+:\d+\)|(async )?(file:\/\/|node:|\/)\S*:\d+:\d+|.+ \((<anonymous>|native)\)|<anonymous>)$/;

/** A tool's error as the model may read it: what went wrong, without the stack and the paths of the process that ran it. */
export function scrubError(text: string): string {
  const kept = text
    .split("\n")
    .filter((line) => !stackFrame.test(line))
    .join("\n")
    .replace(/(file:\/\/)?\/[^\s'"()`]*\/node_modules\/[^\s'"()`]*/g, "<internal>")
    .replace(/file:\/\/\/[^\s'"()`]*/g, "<internal>")
    .replace(/\s*Troubleshooting URL: \S+/g, "")
    .trim();
  return kept.length > longestError ? `${kept.slice(0, longestError)}\n[the rest of the error is left out]` : kept;
}
