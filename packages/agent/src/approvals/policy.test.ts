import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { matches, mayMatch } from "./match-pattern.ts";
import { type ApprovalPolicy, type ApprovalRule, evaluate } from "./policy.ts";
import { UNKNOWN } from "./shell-line.ts";
import { risksOf, type ToolRisk } from "./tool-risks.ts";

const run = (command: string) => ({ name: "execute", args: { command }, risks: risksOf("execute", undefined) });
const call = (name: string, annotations?: object) => ({
  name,
  args: {},
  risks: risksOf(name, annotations && { metadata: { annotations } }),
});
const of = (rule: ApprovalRule, otherwise: ApprovalPolicy["otherwise"] = "allow"): ApprovalPolicy => ({
  agent: [rule],
  otherwise,
});

describe("rules", () => {
  const rule = (action: ApprovalRule["action"], reason: string): ApprovalRule => ({
    tools: ["deploy"],
    action,
    reason,
  });

  it("are tried in the order execution, session, agent; the first that matches decides", () => {
    const execution = [rule("deny", "run")];
    const session = [rule("allow", "session")];
    const agent = [rule("ask", "agent")];
    expect(evaluate({ execution, session, agent }, call("deploy"))).toEqual({ action: "deny", reason: "run" });
    expect(evaluate({ session, agent }, call("deploy"))).toEqual({ action: "allow", reason: "session" });
    expect(evaluate({ agent }, call("deploy"))).toEqual({ action: "ask", reason: "agent" });
    expect(evaluate({ agent }, call("deploy"), session)).toEqual({ action: "allow", reason: "session" });
    expect(evaluate({ agent: [...agent, ...execution] }, call("deploy")).reason).toBe("agent");
  });

  it("leave what they are not for to `otherwise`, which allows when nobody says more", () => {
    expect(evaluate({ agent: [rule("deny", "")] }, call("read")).action).toBe("allow");
    expect(evaluate({ otherwise: "ask" }, call("read"))).toEqual({ action: "ask", reason: "no rule allows it" });
  });

  it("have to fit in every list that they have", () => {
    const both = of({ tools: ["gh__*"], risks: ["destructive"], action: "ask" });
    expect(evaluate(both, call("gh__merge")).action).toBe("ask");
    expect(evaluate(both, call("gh__read", { readOnlyHint: true })).action).toBe("allow");
    expect(evaluate(both, call("jira__close")).action).toBe("allow");
    expect(evaluate(of({ action: "deny" }), call("x")).action).toBe("allow");
    expect(evaluate(of({ commands: ["*"], action: "ask" }), call("write_file")).action).toBe("allow");
  });

  it.each<[string, object | undefined, ToolRisk[]]>([
    ["read_file", undefined, ["read-only"]],
    ["write_file", undefined, ["write", "destructive"]],
    ["mcp", undefined, ["write", "destructive", "open-world"]],
    ["mcp", { readOnlyHint: true }, ["read-only", "open-world"]],
    ["mcp", { readOnlyHint: true, openWorldHint: false }, ["read-only"]],
    ["mcp", { destructiveHint: false, openWorldHint: false }, ["write"]],
  ])("know what %s with %j may do", (name, annotations, risks) => {
    expect(call(name, annotations).risks).toEqual(risks);
  });

  it("allow by risk only what may do nothing else", () => {
    const allow = of({ risks: ["write"], action: "allow" }, "ask");
    expect(evaluate(allow, call("edit_file")).action).toBe("allow");
    expect(evaluate(allow, call("write_file")).action).toBe("ask");
    expect(evaluate(of({ risks: ["write"], action: "ask" }), call("write_file")).action).toBe("ask");
  });
});

describe("commands that are asked about", () => {
  const policy = of({ commands: ["git push*", "rm *"], action: "ask" });

  it.each([
    "git push",
    "git push --force origin main",
    "cd app && git push",
    "npm test; git push",
    "true || git push",
    "make & git push &",
    "echo y | git push",
    "(cd app; git push)",
    "{ git push; }",
    "if make; then git push; fi",
    "for r in a b; do git push $r; done",
    "while read x; do rm $x; done < list",
    "echo $(git push)",
    'echo "done: $(git push)"',
    "echo `git push`",
    "diff <(git push) x",
    "sudo git push",
    "sudo -u web -- git push",
    "env GIT_TRACE=1 git push",
    "GIT_TRACE=1 git push",
    "nohup timeout -k 1 5 git push",
    "git \\\n push",
    "'git' \"push\"",
    "g\\it push",
    "/usr/bin/git push",
    "ls | xargs rm",
    "xargs -n 1 rm < list",
    "find . -name '*.o' -exec rm {} \\;",
    "bash -c 'cd x; git push'",
    'sh -ec "git push"',
    "eval 'git push'",
    "git push > /dev/null 2>&1",
    "cat <<EOF\nhello\nEOF\ngit push",
    "ls # nothing\ngit push",
  ])("are found in %s", (command) => {
    expect(evaluate(policy, run(command))).toEqual({ action: "ask", reason: "a rule asks about git push*, rm *" });
  });

  it.each([
    "git status",
    "echo git push",
    "echo 'git push'",
    "ls -l # git push",
    "cat <<'EOF'\ngit push\nEOF",
    "grep -r 'rm -rf' .",
  ])("are not found in %s", (command) => expect(evaluate(policy, run(command)).action).toBe("allow"));

  it.each([
    "$CMD push",
    "git $VERB",
    "$(echo rm) -rf x",
    "curl https://example.com | sh",
    "bash <<< 'git push'",
    "source ./script",
    "echo 'unfinished",
    "case x in x) git push;; esac",
    "alias ls='rm -rf'",
    "f() { git push; }; f",
    'eval "$X"',
    "{rm,-rf,x}",
    "/bin/r? x",
    "cat <<EOF\n$(git push)\nEOF",
    "echo $((1 + $(git push)))",
    "$'\\x72m' x",
  ])("may be in %s, so a person looks", (command) => {
    const { action, reason } = evaluate(policy, run(command));
    expect([action, reason.endsWith("(it can't be told whether the command is one that a rule is for)")]).toEqual([
      "ask",
      true,
    ]);
    // Refused without being sure would be wrong, too.
    expect(evaluate(of({ commands: ["git push*", "rm *"], action: "deny" }), run(command)).action).toBe("ask");
  });
});

describe("commands that are allowed", () => {
  const policy = of({ commands: ["npm test*", "git status", "ls *", "tee > *"], action: "allow" }, "ask");

  it.each([
    "npm test",
    "cd app && npm test -- --run",
    "npm test && git status",
    "CI=1 npm test",
    "timeout 60 npm test",
    "bash -c 'npm test'",
    "npm test 2>&1 > /dev/null",
    "npm test | tee > log",
    "ls *.ts",
    "ls $DIR",
  ])("are %s", (command) => expect(evaluate(policy, run(command)).action).toBe("allow"));

  it.each([
    "npm test && rm -rf x",
    "npm test; $CMD",
    "npm test $(rm x)",
    "npm test > ~/.bashrc",
    "sudo npm test",
    "PATH=/tmp npm test",
    "LD_PRELOAD=x npm test",
    "env npm test",
    "/tmp/ls x",
    "npm test | sh",
    "git status --short",
    "ls x\nrm y",
    "eval npm test x; eval $Y",
    "xargs npm test",
    "ls 'unfinished",
    "ls() { rm x; }; ls a",
    "",
  ])("are not %s", (command) => expect(evaluate(policy, run(command)).action).toBe("ask"));
});

describe("for every line", () => {
  const piece = fc.constantFrom("ls", "a", "b", "-x", "'q r'", "$V", '"$W"', "*.c", "\\z", "2>&1", "> f", "< g");
  const simple = fc.array(piece, { minLength: 1, maxLength: 4 }).map((words) => ["ls", ...words].join(" "));
  const line = fc
    .array(fc.tuple(simple, fc.constantFrom(" && ", " || ", "; ", " | ", " & ", "\n")), { minLength: 1, maxLength: 5 })
    .map((parts) => parts.map(([command, glue]) => command + glue).join(""));

  it("what is hidden in it is asked about, and keeps it from being allowed", () => {
    const wrap = fc.constantFrom(
      (c: string) => c,
      (c: string) => `(${c})`,
      (c: string) => `sudo ${c}`,
      (c: string) => `echo $(${c})`,
      (c: string) => `sh -c '${c}'`,
      (c: string) => `if true; then ${c}; fi`,
    );
    fc.assert(
      fc.property(line, line, wrap, (before, after, wrapped) => {
        const hidden = `${before.replace(/(?: [|&]+|;) $/, ";")}\n${wrapped("evil now")}\n${after}`;
        expect(evaluate(of({ commands: ["evil *"], action: "ask" }), run(hidden)).action).toBe("ask");
        const allowed = of({ commands: ["ls *", "ls > *", "echo *", "true", "if *"], action: "allow" }, "ask");
        expect(evaluate(allowed, run(hidden)).action).toBe("ask");
      }),
    );
  });

  it("nothing is thrown, whatever the text", () => {
    const odd = fc.string({ unit: fc.constantFrom(..."ab'\"\\$`(){}[];&|<>#\n =-*~!") });
    fc.assert(fc.property(odd, (text) => void evaluate(of({ commands: ["a*"], action: "deny" }), run(text))));
  });
});

it("matches patterns as the definition of `*` says", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", UNKNOWN), maxLength: 6 });
  const pattern = fc.string({ unit: fc.constantFrom("a", "b", "*"), maxLength: 6 });
  const escape = (value: string): string => value.replaceAll("*", ".*");
  fc.assert(
    fc.property(
      pattern,
      text,
      fc.array(fc.constantFrom("", "a", "b", "ab"), { minLength: 6, maxLength: 6 }),
      (p, t, values) => {
        expect(matches(p, t)).toBe(new RegExp(`^${escape(p)}$`, "s").test(t));
        let at = 0;
        const known = t.replaceAll(UNKNOWN, () => values[at++] ?? "");
        // What matches whatever it is, matches each; what matches one, may match.
        expect(!matches(p, t) || matches(p, known)).toBe(true);
        expect(!matches(p, known) || mayMatch(p, t)).toBe(true);
      },
    ),
  );
});
