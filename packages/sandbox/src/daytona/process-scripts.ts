// The shell code around one command. A directory of its own stands for it in the sandbox: what it prints waits there, piece
// by piece, until it was fetched, and so do its number, its exit code, and what it is to read. Fetching and starting can be
// repeated after an answer that was lost; none of it needs a connection that lives.
//
// Daytona's own sessions are no means for it: they pass output on line by line through a shell loop (a last line gets an end
// that it never had, NUL is lost, a megabyte takes seconds), end for good with `exit`, echo what they are told, and take up
// to five seconds to be deleted.
import { quote } from "../isolated/quote.ts";
import { writeBytes } from "./shell-code.ts";

/** Pieces of up to 64 KiB that wait to be fetched. Who prints faster than that has to wait, as with any pipe. */
const mostPieces = 64;

export interface StartCommand {
  /** Where the command's files lie. Its last part names the command. */
  readonly directory: string;
  readonly command: string;
  readonly shell: string;
  readonly env: Readonly<Record<string, string>>;
  /** Bytes; a file that holds them; or what is sent later. Default: nothing to read. */
  readonly stdin?: Uint8Array | { readonly file: string } | "open";
  /** Shell code that goes to where the command is to run. */
  readonly enter: string;
  /** Directories of commands that are over. */
  readonly discard: readonly string[];
}

export interface FetchPlace {
  readonly directory: string;
  /** The numbers of the next pieces. */
  readonly stdout: number;
  readonly stderr: number;
  /** What was received, to be removed. */
  readonly received: readonly string[];
  /** Whether the exit code is known already, and only more output or the end of all is news. */
  readonly exited: boolean;
  /** Whether to wait for news. Default true. */
  readonly wait?: boolean;
  /** Of what is fetched, only so many bytes at the end are wanted. Default: all. */
  readonly keepStdout?: number | undefined;
  readonly keepStderr?: number | undefined;
}

/** Longer commands than the system takes as an argument are run from their file. */
const longestArgument = 100 * 1024;

/** Feeds, watches and outlives the command. `$1` is the directory, `$2` how its input comes. */
const runner = `
d=$1
exec 9<>"$d/bell"
echo $$ >"$d/runner"
pump() {
  i=0 blocks=1 most=${mostPieces}
  # A piece is whole once the next one is there.
  while dd bs=65536 count=$blocks of="$d/$1.$i" 2>/dev/null && [ -s "$d/$1.$i" ]; do
    i=$((i + 1)); : >"$d/$1.$i"; echo >&9
    # Where only the end is wanted, fewer and larger ones.
    if [ $blocks = 1 ] && [ -e "$d/$1.flood" ]; then blocks=16 most=16; fi
    while [ -e "$d/$1.$((i - most))" ]; do sleep 0.02; done
  done
  : >"$d/$1.end"; echo >&9
}
feed() {
  i=0
  while :; do
    while [ -e "$d/in.$i" ]; do cat "$d/in.$i" || exit; rm "$d/in.$i"; i=$((i + 1)); done
    [ -e "$d/in.end" ] && exit
    IFS= read -r _ <&8 || exit
  done
}
pump o <"$d/o" & po=$!
pump e <"$d/e" & pe=$!
case $2 in
  open) in=$d/in; exec 8<>"$d/knock"; feed >"$d/in" 9>&- & f=$! ;;
  *) in=$2; f= ;;
esac
setsid /bin/sh "$d/go" <"$in" >"$d/o" 2>"$d/e" 8>&- 9>&- & p=$!
echo $p >"$d/pid.tmp"; mv "$d/pid.tmp" "$d/pid"
wait $p; c=$?
[ "$f" = "" ] || kill $f 2>/dev/null
echo $c >"$d/code.tmp"; mv "$d/code.tmp" "$d/code"; echo >&9
while kill -0 -- -$p 2>/dev/null; do sleep 0.3; done
wait $po $pe
: >"$d/gone"; echo >&9
`;

/** Starts it unless that was done already, and then waits for what it has to tell, as `fetchScript` does. */
export function startScript(start: StartCommand): string {
  const { directory: d, command, stdin } = start;
  const environment = Object.entries(start.env).map(([name, value]) => quote(`${name}=${value}`));
  const run = Buffer.byteLength(command) < longestArgument ? `-c "$(cat '${d}/command'; echo .)"` : `'${d}/command'`;
  // The dot keeps line breaks at its end, and is a comment's.
  const text = run.startsWith("-c") ? `${command}\n#` : `${command}\n`;
  const go = `exec env ${environment.join(" ")} ${quote(start.shell)} ${run}\n`;
  const input = inputOf(d, stdin);
  return `
d=${d}
[ -d "\${d%/*}" ] || mkdir -p -m 700 "\${d%/*}"
${start.discard.length > 0 ? `rm -rf ${start.discard.join(" ")}` : ""}
${start.enter}
if mkdir -m 700 "$d" 2>/dev/null; then
${writeBytes(text, '>"$d/command"')}
${writeBytes(go, '>"$d/go"')}
${input.before}
mkfifo "$d/o" "$d/e" "$d/bell" "$d/in" "$d/knock"
setsid /bin/sh -c ${quote(runner)} sandbox-runner "$d" "${input.from}" </dev/null >/dev/null 2>&1 &
fi
${fetchScript({ directory: d, stdout: 0, stderr: 0, received: [], exited: false, wait: stdin !== "open" })}`;
}

function inputOf(directory: string, stdin: StartCommand["stdin"]): { readonly before: string; readonly from: string } {
  if (stdin === undefined) return { before: "", from: "/dev/null" };
  if (stdin === "open") return { before: "", from: "open" };
  if (!(stdin instanceof Uint8Array)) return { before: "", from: stdin.file };
  return { before: writeBytes(stdin, '>"$d/stdin"'), from: `${directory}/stdin` };
}

/** Held open before it is looked for news: what rings from then on is not missed. */
const waitForNews = `{ command exec 7<>"$d/bell"; } 2>/dev/null || sleep 0.05
until news; do
  lost && { echo lost; exit 0; }
  { IFS= read -r _ <&7; } 2>/dev/null || { sleep 0.05; command exec 7<>"$d/bell"; } 2>/dev/null
done`;

/** Of what mostly isn't wanted, much at once. */
const waitForMore = ({ stdout, stderr, keepStdout, keepStderr }: FetchPlace): string => `
${keepStdout === undefined ? "" : ': >"$d/o.flood"'}
${keepStderr === undefined ? "" : ': >"$d/e.flood"'}
n=0
until [ -e "$d/o.${stdout + 8}" ] || [ -e "$d/e.${stderr + 8}" ] || [ -e "$d/code" ] || [ -e "$d/never" ] || [ $n = 10 ]; do
  sleep 0.02; n=$((n + 1))
done`;

/**
 * Waits until there is news, and prints it:
 * `o <next> <base64> <left out> <ahead>` and `e` alike: what was printed, how many bytes before it are not told, and how many
 * at its end come once more. `s <code or -> <alive> <gone> <more>`, how it stands.
 * `lost` when what watched it is gone, and `never` when it was ended before it began.
 */
export function fetchScript(place: FetchPlace): string {
  const { directory, stdout, stderr, received, exited, wait = true, keepStdout, keepStderr } = place;
  return `
d=${directory}
${received.length > 0 ? `cd "$d" && rm -f ${received.join(" ")}` : ""}
news() {
  [ -e "$d/o.${stdout + 1}" ] || [ -e "$d/e.${stderr + 1}" ] || [ -e "$d/gone" ] || [ -e "$d/never" ] ${exited ? "" : '|| [ -e "$d/code" ]'}
}
lost() { [ -d "$d" ] || return 0; [ -e "$d/runner" ] && [ ! -e "/proc/$(cat "$d/runner")/cwd" ] && ! news; }
${wait ? waitForNews : ""}
${keepStdout === undefined && keepStderr === undefined ? "" : waitForMore(place)}
[ -e "$d/never" ] && { echo never; exit 0; }
over() { [ -e "$d/o.end" ] && [ -e "$d/e.end" ]; }
alive=1 code=- gone=0 more=0
if [ -e "$d/code" ]; then
  p=$(cat "$d/pid"); code=$(cat "$d/code")
  ${exited ? "" : 'n=0; until over || [ $n = 50 ]; do [ $n -ge 8 ] && kill -0 -- "-$p" 2>/dev/null && break; sleep 0.01; n=$((n + 1)); done'}
  over && ! kill -0 -- "-$p" 2>/dev/null && alive=0
fi
[ -e "$d/gone" ] && gone=1 alive=0
collect() {
  i=$2 f=
  while [ -e "$d/$1.$((i + 1))" ] && [ $((i - $2)) -lt ${mostPieces} ]; do f="$f $d/$1.$i"; i=$((i + 1)); done
  [ -e "$d/$1.$((i + 1))" ] && more=1
  # Of a flood, what was read of a piece that a background child keeps from its end.
  begun=0
  if [ "$3" != "" ] && [ "$code" != - ] && [ ! -e "$d/$1.end" ] && [ -s "$d/$1.$i" ]; then begun=$(stat -c %s "$d/$1.$i"); fi
  all() { { [ "$f" = "" ] || cat $f; } && { [ $begun = 0 ] || head -c $begun "$d/$1.$i"; }; }
  size=0
  [ "$3" = "" ] || size=$(all "$1" | wc -c)
  printf '%s %s ' "$1" "$i"
  if [ "$3" != "" ] && [ "$size" -gt "$3" ]; then all "$1" | tail -c "$3" | base64 -w 0; echo " $((size - $3)) $begun"
  else all "$1" | base64 -w 0; echo " 0 $begun"; fi
}
collect o ${stdout} "${keepStdout ?? ""}"
collect e ${stderr} "${keepStderr ?? ""}"
echo "s $code $alive $gone $more"`;
}

/** Hands over the piece of input with this number. Repeating it changes nothing. Prints `ended` when nobody reads any more. */
export function inputScript(directory: string, number: number, bytes: Uint8Array | "end"): string {
  const put =
    bytes === "end"
      ? `: >"$d/in.end"`
      : `${writeBytes(bytes, `>"$d/next.${number}"`)}\nmv "$d/next.${number}" "$d/in.${number}"`;
  return `
d=${directory}
if [ ! -d "$d" ] || [ -e "$d/code" ]; then echo ended; exit 0; fi
${put}
echo 1<>"$d/knock"`;
}

/** To the process group of the command, as a terminal would. */
export const signalScript = (directory: string, signal: string): string =>
  `p=$(cat ${directory}/pid 2>/dev/null) && kill -s ${signal.replace(/^SIG/, "")} -- "-$p" 2>/dev/null; :`;

/** Which of these commands still have a living member of their process group, or an open pipe. */
export const aliveScript = (directories: readonly string[]): string => `
for d in ${directories.join(" ")}; do
  [ -e "$d/gone" ] && continue
  p=$(cat "$d/pid" 2>/dev/null) || continue
  if kill -0 -- "-$p" 2>/dev/null || [ ! -e "$d/o.end" ] || [ ! -e "$d/e.end" ]; then echo "$d"; fi
done`;

export interface KillTarget {
  readonly directories: readonly string[];
  /** How the environment entry begins that these commands, and no others, have. */
  readonly mark: string;
}

/**
 * Ends commands with all that descends from them: the members of their sessions and groups, the children of those, and who
 * carries the mark. They are stopped first, until none is new, so that none can start another while it is looked for. One
 * that was not started yet never will be.
 */
export function killScript({ directories, mark }: KillTarget): string {
  return `
leaders=
for d in ${directories.join(" ")}; do
  if mkdir "$d" 2>/dev/null; then : >"$d/never"; continue; fi
  [ -e "$d/never" ] && continue
  n=0; until [ -e "$d/pid" ] || [ $n = 100 ]; do sleep 0.02; n=$((n + 1)); done
  [ -e "$d/pid" ] && leaders="$leaders $(cat "$d/pid")"
done
leaders="$leaders "
scan() {
  marked=" "
  for file in $(grep -l -F -e ${quote(mark)} /proc/[0-9]*/environ 2>/dev/null); do
    file=\${file#/proc/}; marked="$marked\${file%%/*} "
  done
  all= key=
  for word in $(grep -h -E '^(State|Pid|PPid|NSpgid|NSsid):' /proc/[0-9]*/status 2>/dev/null); do
    case $key in
      State:) state=$word ;;
      Pid:) pid=$word ;;
      PPid:) parent=$word ;;
      NSpgid:) group=$word ;;
      NSsid:) case $state in Z|X) ;; *) all="$all $pid:$parent:$group:$word" ;; esac ;;
    esac
    case $word in *:) key=$word ;; *) key= ;; esac
  done
  found=" " grown=1
  while [ $grown = 1 ]; do
    grown=0
    for each in $all; do
      pid=\${each%%:*}; rest=\${each#*:}; parent=\${rest%%:*}; rest=\${rest#*:}; group=\${rest%%:*}; session=\${rest#*:}
      case $found in *" $pid "*) continue ;; esac
      case $leaders in *" $group "*|*" $session "*|*" $pid "*) ;; *)
        case $marked in *" $pid "*) ;; *)
          case $found in *" $parent "*) ;; *) continue ;; esac ;;
        esac ;;
      esac
      found="$found$pid "; grown=1
      case $leaders in *" $session "*) ;; *) leaders="$leaders$session " ;; esac
    done
  done
}
stopped=" " round=0 new=1
while [ $new = 1 ] && [ $round -lt 50 ]; do
  new=0; round=$((round + 1)); scan
  for pid in $found; do
    case $stopped in *" $pid "*) continue ;; esac
    kill -STOP "$pid" 2>/dev/null; stopped="$stopped$pid "; new=1
  done
done
[ "$stopped" = " " ] || kill -KILL $stopped 2>/dev/null
n=0
while [ "$stopped" != " " ] && [ $n -lt 50 ]; do
  scan
  [ "$found" = " " ] && break
  kill -KILL $found 2>/dev/null; sleep 0.02; n=$((n + 1))
done
:`;
}
