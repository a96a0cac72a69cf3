// What the guardian runs, and the words it understands. POSIX sh, so that it costs a megabyte and no start-up.

/**
 * What is to be killed, one of
 *
 * - `group`: a process group whose leader the host has not seen exit;
 * - `pid:startTime`: a process that outlived its shell; its group is killed if the process is still that one;
 * - `NAME=value`: whatever was started with this in its environment, or an entry that begins so. Without white space;
 * - `low..high`: whatever was started with a limit of file locks from this to that number.
 *
 * The last three need /proc.
 */
export type GuardianEntry = `${number}` | `${number}:${number}` | `${string}=${string}` | `${bigint}..${bigint}`;

/**
 * Reads lines `+ entry…` and `- entry…` until the pipe ends, as it does however the host ends, and then kills what is still
 * held. A last line that is cut off is left aside: it could name half a number. The signals that a terminal or a service
 * manager sends to everyone are ignored, since the host may take its time to end after them.
 */
export const guardianScript = `
trap '' HUP INT QUIT TERM
set -f
held=' '
while read -r verb entries; do
  for entry in $entries; do
    case $verb in
      +) held="$held$entry " ;;
      -) case $held in
           *" $entry "*) held=\${held%%" $entry "*}' '\${held#*" $entry "} ;;
         esac ;;
    esac
  done
done
exec 2>/dev/null
kill_group() {
  case $1 in
    '' | 0* | 1 | *[!0-9]*) ;;
    *) kill -s KILL -- "-$1" ;;
  esac
}
patterns=
ranges=
for entry in $held; do
  case $entry in
    *=*) patterns="$patterns -e $entry" ;;
    *..*) ranges="$ranges $entry" ;;
    *:*)
      if read -r stat <"/proc/\${entry%:*}/stat"; then
        set -- \${stat##*') '}
        [ "\${20}" = "\${entry#*:}" ] && kill_group "$3"
      fi ;;
    *) kill_group "$entry" ;;
  esac
done
[ -n "$patterns$ranges" ] && [ -r /proc/self/environ ] || exit 0
set +f
limited() {
  grep -sH '^Max file locks' /proc/[0-9]*/limits | while read -r file word1 word2 soft hard unit; do
    case $hard in '' | *[!0-9]*) continue ;; esac
    for range in $ranges; do
      [ "$hard" -ge "\${range%..*}" ] && [ "$hard" -le "\${range#*..}" ] && printf '%s\\n' "\${file%%:*}"
    done
  done
}
round=0
while [ "$round" -lt 100 ]; do
  found=
  [ -n "$patterns" ] && found=$(grep -lszF $patterns /proc/[0-9]*/environ)
  [ -n "$ranges" ] && found="$found $(limited)"
  found=\${found# }
  [ -n "$found" ] || exit 0
  for file in $found; do
    pid=\${file#/proc/}
    kill -s KILL "\${pid%%/*}"
  done
  round=$((round + 1))
done
`;
