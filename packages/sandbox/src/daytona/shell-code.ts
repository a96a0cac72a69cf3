// Pieces of shell code that the scripts share. Needs a POSIX shell, GNU's coreutils, findutils and grep, and /proc.

/** Shell code that writes these bytes to where `target` redirects. The label can't be in base64. */
export function writeBytes(bytes: Uint8Array | string, target: string): string {
  const lines = Buffer.from(bytes as string)
    .toString("base64")
    .replace(/.{1,4000}/g, "$&\n");
  return `base64 -d ${target} <<'-end-'\n${lines}-end-`;
}

/**
 * Functions that find a place under the root without ever leaving it, however links are exchanged meanwhile: they enter a
 * directory, and only then ask where they are. What is done afterwards is done in the directory entered.
 *
 * - `fail CODE` prints what went wrong and ends the (sub)shell.
 * - `inside` fails with ELOOP unless the working directory lies under `$root`.
 * - `enter DIR` goes into it, or tells why it can't.
 * - `enter_parents DIR` as well, but makes what is missing.
 * - `follow` makes `$name` in the working directory no symbolic link any more, by going where it leads.
 */
export const placeFunctions: string = `
export LC_ALL=C
fail() { printf '! %s\\n' "$1"; exit 0; }
# What a program said of a failure, for the caller to tell by its words.
fail_with() { printf '? %s\\n' "$(printf %s "$1" | tr '\\n' ' ')"; exit 0; }
inside() {
  here=$(readlink /proc/self/cwd; echo .)
  here=\${here%??}
  case $here in "$root"|"$root"/*) ;; *) fail ELOOP ;; esac
}
enter() {
  # Part by part only where something is missing or in the way: then it is told what, and nothing of what lies outside.
  if [ "$1" = "" ] || cd -P -- "./$1" 2>/dev/null; then inside; else enter_parts "$1"; fi
}
enter_parents() {
  making=1
  enter "$1"
}
making=
enter_parts() {
  left=$1/
  while [ "$left" != "" ]; do
    part=\${left%%/*}
    left=\${left#*/}
    if ! cd -P -- "./$part" 2>/dev/null; then
      [ -d "./$part" ] && fail EACCES
      [ -e "./$part" ] && fail ENOTDIR
      { [ -L "./$part" ] || [ "$making" = "" ]; } && fail ENOENT
      said=$(mkdir -- "./$part" 2>&1) || [ -d "./$part" ] || fail_with "$said"
      cd -P -- "./$part" 2>/dev/null || fail ENOENT
    fi
    inside
  done
}
why_not() {
  [ -d "$1" ] && fail EACCES
  [ -e "$1" ] && fail ENOTDIR
  fail ENOENT
}
follow() {
  links=0
  while [ -L "./$name" ]; do
    links=$((links + 1))
    [ $links -gt 40 ] && fail ENOENT
    to=$(readlink -- "./$name"; echo .)
    to=\${to%??}
    while :; do case $to in */) to=\${to%/} ;; *) break ;; esac; done
    case $to in
      */*)
        cd -P -- "\${to%/*}/" 2>/dev/null || fail ENOENT
        inside
        name=\${to##*/} ;;
      *) name=$to ;;
    esac
    case $name in ""|.|..)
      [ "$name" = "" ] || cd -P -- "./$name" || fail ENOENT
      inside
      fail EISDIR ;;
    esac
  done
}
`;
