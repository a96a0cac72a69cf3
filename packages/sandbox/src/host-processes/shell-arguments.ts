// How a command gets to the shell. Linux takes no single argument of 128 KiB or more (MAX_ARG_STRLEN), and a command that
// writes a file from a here-document can be longer: it then goes as several arguments, which the shell joins again.

const longestArgument = 128 * 1024 - 1;
/** UTF-16 units; none takes more than three bytes of UTF-8. */
const pieceLength = 40 * 1024;

const joinAndRun = 'c=; for p do c=$c$p; done; set --; unset p; eval "unset c\n$c"';

/** `before` is shell code to run first; it comes on the command's first line, so that line numbers stay. */
export function shellArguments(command: string, before: string = ""): string[] {
  const whole = before + command;
  if (Buffer.byteLength(whole) < longestArgument) return ["-c", whole];
  const pieces: string[] = [];
  for (let start = 0; start < command.length;) {
    let end = Math.min(start + pieceLength, command.length);
    // Not between the two halves of a character.
    if (end < command.length && (command.charCodeAt(end) & 0xfc00) === 0xdc00) end--;
    pieces.push(command.slice(start, end));
    start = end;
  }
  return ["-c", before + joinAndRun, "sh", ...pieces];
}
