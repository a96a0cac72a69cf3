import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { displayCommand } from "./display-command.ts";

test.each([
  ["kubectl get pods", "kubectl get"],
  ["kubectl -n prod --context=blue get pods -o wide", "kubectl get"],
  ["kubectl get pods | grep Running | wc -l", "kubectl get"],
  ["sudo kubectl get pods", "kubectl get"],
  ["sudo -u deploy -E kubectl get pods", "kubectl get"],
  ["KUBECONFIG=/tmp/k kubectl get pods", "kubectl get"],
  ["env -u HOME A=1 B='two words' kubectl get pods", "kubectl get"],
  ["cd /srv/app && kubectl get pods", "kubectl get"],
  ["cd 'a b'; export A=1; kubectl get pods", "kubectl get"],
  ["set -e\n# list them\nkubectl get pods\n", "kubectl get"],
  ["(cd x && kubectl get pods)", "kubectl get"],
  ["bash -lc 'cd x && kubectl get pods'", "kubectl get"],
  ["timeout -k 5 30s kubectl get pods 2>&1 >out.txt", "kubectl get"],
  ["if kubectl get pods; then echo yes; fi", "kubectl get"],
  ["cat pod.yaml | kubectl apply -f -", "kubectl apply"],
  ["kubectl apply -f - <<EOF\nkind: Pod; rm -rf /\nEOF\n", "kubectl apply"],
  ["cat > a.txt <<'EOF'\nhello && world\nEOF", "cat"],
  ["cat <<EOF | kubectl apply -f -\nkind: Pod\nEOF", "kubectl apply"],
  ["git -C /repo status --short", "git status"],
  ["git stash pop", "git stash pop"],
  ["docker compose -f dev.yml up -d", "docker compose up"],
  ["npm run build -- --watch", "npm run build"],
  ["aws --region eu-west-1 s3 ls s3://bucket", "aws s3 ls"],
  ["gcloud compute instances list", "gcloud compute instances list"],
  ["ls -la /tmp", "ls"],
  ["/usr/bin/ls", "ls"],
  ["cat notes.txt", "cat"],
  ["echo hello", "echo"],
  ["echo 'a | b && c'", "echo"],
  ["python3 -m pytest -q", "python3 -m pytest"],
  ["python3 scripts/load.py --all", "python3 load.py"],
  ["python3 -c 'print(1)'", "python3"],
  ["node --test src/a.test.ts", "node a.test.ts"],
  ["x=$(kubectl get pods; date) terraform plan", "terraform plan"],
  ["cd /tmp", "cd"],
  ["sleep 5 & wait", "sleep"],
  ["false || make deploy", "false"],
  ["make", "make"],
  ["", ""],
  ["   ", ""],
])("%j is shown as %j", (command, shown) => {
  expect(displayCommand(command)).toBe(shown);
});

describe("lines as agents write them", () => {
  // One a line, with what it is shown as behind the last arrow; ⏎ is a line break.
  const lines = readFileSync(new URL("__fixtures__/commands.txt", import.meta.url), "utf8")
    .trimEnd()
    .split("\n");
  test.each(lines)("%s", (line) => {
    const arrow = line.lastIndexOf(" → ");
    expect(displayCommand(line.slice(0, arrow).replaceAll("⏎", "\n"))).toBe(line.slice(arrow + 3));
  });

  test("are some hundred, each once", () => {
    expect(lines.length).toBeGreaterThan(400);
    expect(new Set(lines).size).toBe(lines.length);
  });
});

test("any text has a short one-line name that is well formed", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.stringMatching(/^[ab'"|&;<>()$\\#\n -]*$/)), (text) => {
      const shown = displayCommand(text);
      expect(shown.length).toBeLessThanOrEqual(80);
      expect(shown).not.toMatch(/\n/);
    }),
  );
});
