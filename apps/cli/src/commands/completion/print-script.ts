import type { CommandIo } from "../../command-io.ts";
import type { shells } from "../../program-completion.ts";

export interface PrintScriptOptions {
  readonly shell: (typeof shells)[number];
}

/** Prints a script that asks `stigmer internal complete` each time, so that it never is of another version. */
export async function printScript({ shell }: PrintScriptOptions, io: CommandIo): Promise<void> {
  io.stdout.write(scripts[shell]);
}

// `internal complete` prints `word<tab>description` a line, and as its last line what to do beside them: `:files`, `:folders` or `:none`.
// The program is called as it was typed, so that a path or an alias completes itself.
const scripts: Readonly<Record<PrintScriptOptions["shell"], string>> = {
  bash: `# bash completion for stigmer. Made by \`stigmer completion bash\`.
_stigmer() {
  local line current="\${COMP_WORDS[COMP_CWORD]}" answer=() last
  [[ $current == "=" ]] && current=""
  while IFS= read -r line; do
    answer+=("$line")
  done < <("\${COMP_WORDS[0]/#\\~/$HOME}" internal complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  ((\${#answer[@]} > 0)) || return 0
  last=$((\${#answer[@]} - 1))
  COMPREPLY=()
  for line in "\${answer[@]:0:last}"; do
    COMPREPLY+=("\${line%%$'\\t'*}")
  done
  case "\${answer[last]}" in
    :files | :folders)
      [[ \${answer[last]} == :files ]] && last=-f || last=-d
      compopt -o filenames 2>/dev/null
      while IFS= read -r line; do
        COMPREPLY+=("$line")
      done < <(compgen "$last" -- "$current")
      ;;
  esac
  return 0
}
complete -F _stigmer stigmer
`,
  zsh: `#compdef stigmer
# zsh completion for stigmer. Made by \`stigmer completion zsh\`.
_stigmer() {
  local -a answer described
  local line word
  answer=("\${(@f)$("\${(Q)words[1]}" internal complete -- "\${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
  (( \${#answer} )) || return 1
  for line in "\${(@)answer[1,-2]}"; do
    word="\${line%%$'\\t'*}"
    described+=("\${word//:/\\\\:}:\${line#*$'\\t'}")
  done
  (( \${#described} )) && _describe -t values stigmer described
  case "\${answer[-1]}" in
    :files) _files ;;
    :folders) _files -/ ;;
  esac
}
if [[ "\${funcstack[1]}" == _stigmer ]]; then
  _stigmer "$@"
else
  compdef _stigmer stigmer
fi
`,
  fish: `# fish completion for stigmer. Made by \`stigmer completion fish\`.
function __stigmer_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l answer ($words[1] internal complete -- $words[2..-1] 2>/dev/null)
    test (count $answer) -gt 0; or return
    switch $answer[-1]
        case :files
            __fish_complete_path (commandline -ct)
        case :folders
            __fish_complete_directories (commandline -ct)
    end
    if test (count $answer) -gt 1
        printf '%s\\n' $answer[1..-2]
    end
end
complete -c stigmer -f -a '(__stigmer_complete)'
`,
};
