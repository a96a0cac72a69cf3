/**
 * How a shell command is named in a list of tool calls: the program and, where programs have them, its subcommand.
 * `cd app && sudo -u web NODE_ENV=test npm run build | tee log` is `npm run build`. Never throws; text that is no
 * command at all comes back shortened.
 */
export function displayCommand(command: string): string {
  // What a command is called stands at its beginning; the rest may be a whole file in a here-document.
  const simple = splitCommands(command.slice(0, 4096)).map(strip);
  const first =
    simple.find((words, at) => isWorth(words, simple.slice(at + 1))) ?? simple.find((words) => words.length > 0);
  if (first === undefined) return shorten(command.slice(0, 4096).trim());
  const nested = nestedScript(first) ?? substituted(first);
  return nested === undefined ? shorten(name(first)) : displayCommand(nested);
}

/**
 * How each command of a line is named, without those that only prepare the ground, such as `cd`: `cd app && npm run build |
 * tee log` is `npm run build` and `tee`. What `sudo` and `xargs` run is named with them.
 */
export function commandNames(command: string): string[] {
  const names = splitCommands(command).flatMap((words) => {
    const bare = strip(words);
    const nested = nestedScript(bare);
    if (nested !== undefined) return commandNames(nested);
    if (bare.length === 0 || bare[0] === "cd") return [];
    const by = ["sudo", "xargs"].filter((wrapper) => words.some((word) => basename(word) === wrapper));
    // By its path, where it has one: another program of the same name is another program.
    const path = bare[0] ?? "";
    const folder = path.slice(0, path.length - basename(path).length);
    return [[...by, folder + name(bare)].join(" ")];
  });
  return [...new Set(names)];
}

/** How many words after the program belong to its name. */
const subcommands: ReadonlyMap<string, number> = new Map(
  Object.entries({
    1: "git kubectl docker podman npm pnpm yarn bun deno cargo go gh glab helm terraform tofu pulumi systemctl service brew apt apt-get dnf yum apk snap pip pip3 pipx poetry uv conda mamba rustup dotnet mvn gradle gradlew make just bazel npx pnpx bunx uvx stigmer temporal buf openssl heroku flyctl fly vercel netlify supabase redis-cli launchctl minikube kind k3d argocd flux istioctl vagrant packer nomad consul vault doctl eksctl turbo nx composer bundle rails rake mix tmux ip nix pm2 jj hg svn gradlew mvnw ruff alembic golangci-lint wrangler docker-compose kustomize gsutil",
    2: "aws az gcloud",
  }).flatMap(([depth, names]) => names.split(" ").map((each): [string, number] => [each, Number(depth)])),
);

/** Subcommands that only open a group: one word more says what runs. */
const groups: ReadonlySet<string> = new Set(
  "vault kv,argocd app,supabase db,doctl compute,nomad job,glab mr,glab issue,glab ci,turbo run,pnpm dlx,yarn dlx,pipx run,conda run,deno run,az network,az storage,az webapp,gcloud alpha,gcloud artifacts,gcloud beta,gcloud builds triggers,gcloud compute,gcloud container,gcloud iam,gcloud pubsub,gcloud run jobs,gcloud run services,gcloud sql,gcloud storage buckets,docker compose,docker container,docker image,docker system,docker volume,docker network,docker buildx,docker stack,docker context,git bisect,git config,gh auth,gh secret,terraform workspace,kubectl auth,kubectl create secret,go mod,nix flake,podman compose,podman container,npm run,pnpm run,yarn run,bun run,deno task,pnpm exec,npm exec,gh pr,gh issue,gh run,gh repo,gh workflow,gh release,git remote,git stash,git worktree,git submodule,kubectl rollout,kubectl config,kubectl top,helm repo,uv run,uv pip,poetry run,bundle exec,pulumi stack,terraform state,temporal workflow,temporal server,conda env,mise run".split(
    ",",
  ),
);

/** Subcommands of groups that open none. */
const leaves: ReadonlySet<string> = new Set(["gcloud compute ssh", "gcloud compute scp"]);

/** Options before a subcommand whose value is a word of its own. */
const valued: ReadonlySet<string> = new Set(
  "-C -c -n -f --namespace --context --kubeconfig --cluster --profile --region --project --output -o --git-dir --work-tree --prefix --filter -F --dir --cwd -H --host --file --manifest-path --toolchain --subscription --config -p --package --with".split(
    " ",
  ),
);
/** The same, of one program alone. */
const valuedOf: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  ["redis-cli", new Set("-h -p -a -n -u".split(" "))],
]);

/** Programs that run the rest of their words, with those of their options that take a value. */
const wrappers: ReadonlyMap<string, ReadonlySet<string>> = new Map(
  Object.entries({
    sudo: "-u -g -h -p -C -T -U -r -t --user --group",
    doas: "-u -C",
    env: "-u -C -S --unset --chdir",
    time: "-f -o",
    nohup: "",
    nice: "-n",
    ionice: "-c -n -p",
    timeout: "-s -k --signal --kill-after",
    stdbuf: "-i -o -e",
    setsid: "",
    exec: "-a",
    command: "",
    builtin: "",
    eval: "",
    strace: "-e -o -p -s",
    caffeinate: "-t -w",
    watch: "-n --interval",
    xargs: "-a -d -E -I -L -n -P -s --delimiter --max-args --max-procs --replace",
    unbuffer: "",
    chronic: "",
    dotenv: "-e -f",
    "cross-env": "",
  }).map(([program, options]): [string, ReadonlySet<string>] => [program, new Set(options.split(" "))]),
);

/** What only prepares the ground for the command that matters. */
const preparing: ReadonlySet<string> = new Set(
  "cd pushd popd export unset set shopt source . true : umask alias ulimit trap sleep mkdir wait read local declare [ [[ test which type hash command chmod touch".split(
    " ",
  ),
);
/** The same, of programs that mostly do something else. */
const preparingPhrases: ReadonlySet<string> = new Set(
  "conda activate,mamba activate,nvm use,fnm use,pyenv shell,asdf shell,mise use,corepack enable".split(","),
);
/** What only feeds a pipe. */
const feeding: ReadonlySet<string> = new Set(["echo", "printf", "cat", "yes"]);
const keywords: ReadonlySet<string> = new Set("if then else elif fi do done while until in ! { } ( ) esac".split(" "));
const interpreters: ReadonlySet<string> = new Set("python python3 node tsx ruby perl php bash sh zsh dash".split(" "));
/** Scripts that have subcommands themselves. */
const commandScripts: ReadonlySet<string> = new Set(["manage.py", "artisan"]);
/** Options whose value is the program itself. */
const inlineCode: Readonly<Record<string, RegExp>> = { php: /^-r$/, node: /^(-e|-p|-pe|--eval|--print)$/ };
const anyInlineCode: RegExp = /^(-|-c|-e|-E|-\w+e)$/;
const shells: ReadonlySet<string> = new Set("bash sh zsh dash".split(" "));

interface Words extends ReadonlyArray<string> {
  /** Whether what it prints goes into the command after it. */
  readonly piped?: boolean;
  /** That it is run by `xargs`. */
  readonly wrapped?: string;
}

/** Simple commands in order, quotes and comments understood, redirections dropped. */
function splitCommands(text: string): Words[] {
  const commands: (string[] & { piped?: boolean })[] = [];
  let words: string[] & { piped?: boolean } = [];
  let word: string | undefined;
  let redirecting = false;
  const endWord = (): void => {
    if (word === undefined) return;
    if (redirecting) redirecting = false;
    else words.push(word);
    word = undefined;
  };
  const endCommand = (piped: boolean): void => {
    endWord();
    redirecting = false;
    words.piped = piped;
    if (words.length > 0) commands.push(words);
    words = [];
  };
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (char === "'" || char === '"') {
      const end = closingQuote(text, at);
      word = (word ?? "") + text.slice(at + 1, end);
      at = end;
    } else if (char === "\\") {
      at += 1;
      if (text.charAt(at) !== "\n") word = (word ?? "") + text.charAt(at);
    } else if (char === "#" && word === undefined) {
      const end = text.indexOf("\n", at);
      at = end < 0 ? text.length : end - 1;
    } else if (char === "`") {
      const end = closingQuote(text, at);
      word = (word ?? "") + text.slice(at, end + 1);
      at = end;
    } else if (char === "$" && text.charAt(at + 1) === "(") {
      const end = closingParenthesis(text, at + 1);
      word = (word ?? "") + text.slice(at, end + 1);
      at = end;
    } else if (char === ">" || char === "<") {
      if (word !== undefined && /^[0-9&]$/.test(word)) word = undefined;
      endWord();
      if (char === "<" && text.charAt(at + 1) === "<") {
        // A here-document is input, not commands: nothing after its marker's line counts.
        const [marker, body] = hereDocument(text, at + 2);
        if (marker !== undefined) {
          text = text.slice(0, at) + text.slice(at + 2 + marker, body.start) + text.slice(body.end);
          at -= 1;
          continue;
        }
      }
      while (/[<>&]/.test(text.charAt(at + 1))) at += 1;
      redirecting = true;
    } else if (char === "|") {
      const or = text.charAt(at + 1) === "|";
      if (or || text.charAt(at + 1) === "&") at += 1;
      endCommand(!or);
    } else if (char === "&" || char === ";" || char === "\n" || char === "(" || char === ")") {
      endCommand(false);
    } else if (/\s/.test(char)) {
      endWord();
    } else {
      word = (word ?? "") + char;
    }
  }
  endCommand(false);
  return commands;
}

function closingQuote(text: string, open: number): number {
  const quote = text.charAt(open);
  for (let at = open + 1; at < text.length; at += 1) {
    if (text.charAt(at) === "\\" && quote !== "'") at += 1;
    else if (text.charAt(at) === quote) return at;
  }
  return text.length;
}

function closingParenthesis(text: string, open: number): number {
  let depth = 0;
  for (let at = open; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (char === "'" || char === '"') at = closingQuote(text, at);
    else if (char === "(") depth += 1;
    else if (char === ")" && (depth -= 1) === 0) return at;
  }
  return text.length;
}

/** Length of the marker after `<<`, and where the document's lines begin and end; undefined for `<<<` and broken ones. */
function hereDocument(text: string, from: number): [number | undefined, { start: number; end: number }] {
  const marker = /^-?\s*(['"]?)([A-Za-z_][\w-]*)\1/.exec(text.slice(from, from + 80));
  const start = text.indexOf("\n", from);
  if (marker?.[2] === undefined) return [undefined, { start, end: start }];
  if (start < 0) return [marker[0].length, { start: text.length, end: text.length }];
  const close = new RegExp(`^\\t*${marker[2]}$`, "m").exec(text.slice(start + 1));
  return [marker[0].length, { start, end: close === null ? text.length : start + 1 + close.index + close[0].length }];
}

/** Without shell keywords, assignments and programs that only run another one. */
function strip(words: Words): Words {
  let rest: readonly string[] = words;
  for (;;) {
    const [first, ...others] = rest;
    if (first === undefined) break;
    // What a loop goes over is no command.
    if (first === "for" || first === "select" || first === "case") return Object.assign([], { piped: words.piped });
    // That asks where a program is.
    if (first === "command" && /^-[vV]/.test(others[0] ?? "")) break;
    const options = wrappers.get(basename(first));
    if (keywords.has(first) || /^[A-Za-z_]\w*\+?=/.test(first)) rest = others;
    else if (options !== undefined && others.length > 0) {
      rest = afterOptions(others, options);
      if (basename(first) === "timeout" && /^[\d.]+[smhd]?$/.test(rest[0] ?? "")) rest = rest.slice(1);
    } else break;
  }
  const wrapped = words.find((word) => basename(word) === "xargs") && "xargs";
  return Object.assign([...rest], { piped: words.piped, wrapped });
}

function afterOptions(words: readonly string[], withValue: ReadonlySet<string>): readonly string[] {
  let at = 0;
  for (let word = words[at]; word !== undefined && word.startsWith("-"); word = words[at]) {
    at += withValue.has(word) ? 2 : 1;
    if (word === "--") break;
  }
  return words.slice(at);
}

function isWorth(words: Words, later: readonly Words[]): boolean {
  const program = words[0] === undefined ? undefined : basename(words[0]);
  if (program === undefined || preparing.has(program) || preparingPhrases.has(`${program} ${words[1] ?? ""}`))
    return false;
  // What `xargs` runs on it is what the line is for.
  if (words.piped === true && rest(later).some(({ wrapped }) => wrapped === "xargs")) return false;
  if (!feeding.has(program)) return true;
  return words.piped !== true || later.length === 0;
}

/** What prints the program that is run: only that is known of it. */
function substituted(words: Words): string | undefined {
  const found = /^(?:\$\((.*)\)|`(.*)`)$/s.exec(words[0] ?? "");
  return found?.[1] ?? found?.[2];
}

/** The commands that are left of a pipeline. */
function rest(later: readonly Words[]): readonly Words[] {
  const last = later.findIndex(({ piped }) => piped !== true);
  return last < 0 ? later : later.slice(0, last + 1);
}

/** The script of `bash -c '…'`. */
function nestedScript(words: Words): string | undefined {
  if (!shells.has(basename(words[0] ?? ""))) return undefined;
  const flag = words.findIndex((word, at) => at > 0 && /^-[a-z]*c$/.test(word));
  return flag < 0 ? undefined : words[flag + 1];
}

function name(words: readonly string[]): string {
  const program = basename(words[0] ?? "");
  if (interpreters.has(program)) return [program, ...script(program, words.slice(1))].join(" ");
  const withValue = valuedOf.get(program) ?? valued;
  const parts = [program];
  let depth = subcommands.get(program) ?? 0;
  for (let rest = afterOptions(words.slice(1), withValue); depth > 0; depth -= 1) {
    const [next, ...others] = rest;
    if (next === undefined) break;
    // A toolchain of cargo.
    if (next.startsWith("+")) depth += 1;
    else parts.push(next);
    if (leaves.has(parts.join(" "))) break;
    if (!next.startsWith("+") && groups.has(parts.join(" "))) depth += 1;
    rest = afterOptions(others, withValue);
  }
  return parts.join(" ");
}

/** `-m module` or the script's file name; nothing for inline code and a bare interpreter. */
function script(program: string, words: readonly string[]): readonly string[] {
  const inline = inlineCode[program] ?? anyInlineCode;
  for (const [at, word] of words.entries()) {
    if (word === "-m" && program.startsWith("python") && words[at + 1] !== undefined)
      return ["-m", name(words.slice(at + 1))];
    if (inline.test(word) || word === "-") return [];
    if (word.startsWith("-")) continue;
    const file = basename(word);
    const next = words[at + 1];
    return commandScripts.has(file) && next !== undefined && !next.startsWith("-") ? [file, next] : [file];
  }
  return [];
}

function basename(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1) || path;
}

function shorten(text: string): string {
  const line = text.replaceAll(/\s+/g, " ");
  return line.length <= 80 ? line : `${line.slice(0, 79).toWellFormed()}…`;
}
