import { randomInt } from "node:crypto";

// What runs in the container besides commands. Any POSIX shell with grep will do: dash, busybox, bash.
//
// Each command carries a mark: the resource limit RLIMIT_LOCKS, which Linux doesn't enforce but passes on to every child,
// across exec, setsid and double forks, and shows in /proc/<pid>/limits. It has 15 digits. A limit can be lowered, never
// raised: who has one of fewer digits, or one that was given to no living command, took off the mark it had.

const markDigits = 15;

/** Marks that no other way to the same sandbox gives out: a random start, counted up. */
export function createMarks(): Marks {
  const low = 10 ** (markDigits - 1) + randomInt(0, 2 ** 32) * 10_000;
  let high = low;
  return { next: () => String(high++), range: () => `${low} ${high}` };
}

export interface Marks {
  next(): string;
  /** From the first that was given to the next that will be. */
  range(): string;
}

/**
 * The container's main process, as root with the one capability to send signals, so that no command can touch it. It ends,
 * and the container with it, when nobody holds its input any more. Only its first line may fork: where the process limit is
 * reached, it must still be able to end things. Stops before it kills, since what is stopped does not multiply. /tmp is mounted
 * with the permissions that it has in the image.
 */
const keeper = `
chmod 1777 /tmp
letter=
for try in w x; do
  if [ -z "$letter" ] && (ulimit -$try 4242 && grep -q "^Max file locks  *4242 " /proc/self/limits) 2>/dev/null
  then letter=$try; fi
done
limit() {
  v=
  while read -r a b c soft hard rest; do
    case "$a $b $c" in "Max file locks") v=$hard; return;; esac
  done 2>/dev/null </proc/$1/limits
}
wanted() {
  case $v in ''|unlimited) return 1;; esac
  case ",$marks," in *",$v,"*) return 0;; esac
  case ",$others," in *",$v,"*) return 1;; esac
  [ \${#v} -lt ${markDigits} ] || { [ $v -ge $low ] && [ $v -lt $high ]; }
}
halt() {
  seen=' ' fresh=1
  while [ $fresh = 1 ]; do
    fresh=0
    for p in /proc/[0-9]*; do
      p=\${p#/proc/}
      case $seen in *" $p "*) continue;; esac
      limit $p
      wanted && kill -STOP $p 2>/dev/null && seen="$seen$p " fresh=1
    done
  done
}
end() {
  halt
  for p in $seen; do kill -KILL $p 2>/dev/null; done
  round=0 again=1
  while [ $again = 1 ] && [ $round -lt 2000 ]; do
    again=0 round=$((round + 1))
    for p in $seen; do limit $p; wanted && again=1; done
  done
}
tell() {
  for p in /proc/[0-9]*; do
    p=\${p#/proc/}
    limit $p
    [ "$v" = "$2" ] && kill -$1 $p 2>/dev/null
  done
}
while read -r verb id one two three four; do
  case $verb in
    hello) said=$letter;;
    kill) marks=$one others=$two low=$three high=$four said=ended; end;;
    tell) tell $one $two; said=told;;
    group) kill -$one -$two 2>/dev/null; said=told;;
  esac
  echo "$id $said"
done
`;

/**
 * Runs one command. Its arguments: the secret word, the letter by which ulimit knows the mark, the mark, the limit of
 * processor time or nothing, whether memory is limited, a line feed, and then the command. The first line of its input is the command's
 * environment, which thus is not seen in what the engine tells of it; the rest is the command's input. It says
 * `s<pid>` when the command starts, `x<exit code>,<kills for want of memory>` when it has exited, and then `l<0 or 1>`: whether
 * something of it was left running. Then it stays, since the engine takes away the pipes when it ends.
 */
const command = `
IFS= read -r sb_env || exit 125
sb_word=$1 sb_letter=$2 sb_mark=$3 sb_cpu=$4 sb_memory=$5 sb_line=$6
shift 6
exec 9>&2 2>/dev/null
trap : HUP INT QUIT USR1 USR2 TERM
sb_kills() {
  sb_n=0
  for sb_file in /sys/fs/cgroup/memory/memory.oom_control /sys/fs/cgroup/memory.events; do
    [ -r $sb_file ] || continue
    while read -r sb_key sb_value; do [ "$sb_key" = oom_kill ] && sb_n=$sb_value; done <$sb_file
  done
}
[ -z "$sb_memory" ] || { sb_kills; sb_before=$sb_n; }
(
  ulimit -$sb_letter $sb_mark || exit 125
  [ -z "$sb_cpu" ] || ulimit -t $sb_cpu || exit 125
  printf %s "\${sb_word}s$$;" >&9
  eval "exec env $sb_env \\"\\$@\\"" 2>&9 9>&-
)
sb_code=$?
sb_died=0
[ -z "$sb_memory" ] || { sb_kills; sb_died=$((sb_n - sb_before)); }
printf %s "\${sb_word}x$sb_code,$sb_died;" >&9
sb_left() { grep -qs "^Max file locks  *[0-9a-z]*  *$sb_mark " /proc/[0-9]*/limits; }
if sb_left; then
  printf %s "\${sb_word}l1;"
  while sb_left; do sleep 0.25; done
else
  printf %s "\${sb_word}l0;"
fi
exit 0
`;

/**
 * What a shell is started with to run one of these. The script itself is the first line of its input: lists of processes,
 * which agents read, stay short.
 */
export const readScript = 'IFS= read -r sb_script && eval "$sb_script"';

/** The line that makes the main process the keeper. */
export const keeperLine: string = toLine(keeper);

/** The lines that make a shell run a command with this environment. */
export function commandLines(env: Readonly<Record<string, string>>): string {
  return commandLine + environmentLine(env);
}

const commandLine = toLine(command);

/** The same script without line feeds. */
function toLine(script: string): string {
  const lines = script.split("\n").map((line) => line.trim());
  const code = lines
    .filter((line) => line !== "")
    .map((line) => line + (/(^|\s)(then|do|else|in|\{|\()$|;;$/.test(line) ? " " : "; "));
  return `${code.join("")}\n`;
}

function environmentLine(env: Readonly<Record<string, string>>): string {
  const words = Object.entries(env).map(([name, value]) => quote(`${name}=${value}`));
  return `${words.join(" ")}\n`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''").replaceAll("\n", `'"$sb_line"'`)}'`;
}
