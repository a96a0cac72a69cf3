import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { expect, test } from "vitest";
import { demultiplex } from "./demultiplex.ts";
import { commandLines, readScript } from "./scripts.ts";
import { tellApart } from "./told-apart.ts";

function frame(stream: "stdout" | "stderr", bytes: Uint8Array): Buffer {
  const header = Buffer.alloc(8);
  header[0] = stream === "stdout" ? 1 : 2;
  header.writeUInt32BE(bytes.length, 4);
  return Buffer.concat([header, bytes]);
}

/** Cuts it where `cuts` say. */
function* cut(bytes: Buffer, cuts: readonly number[]): Generator<Buffer> {
  let from = 0;
  for (const length of cuts) {
    yield bytes.subarray(from, from + length);
    from += length;
  }
  yield bytes.subarray(from);
}

const streamName = fc.constantFrom("stdout" as const, "stderr" as const);

test("frames are taken apart wherever the connection cuts them", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(streamName, fc.uint8Array({ maxLength: 40 }))),
      fc.array(fc.nat(20)),
      (frames, cuts) => {
        const got = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
        const push = demultiplex((stream, bytes) => (got[stream] = Buffer.concat([got[stream], bytes])));
        for (const chunk of cut(Buffer.concat(frames.map((each) => frame(...each))), cuts)) push(chunk);
        for (const name of ["stdout", "stderr"] as const) {
          const wanted = Buffer.concat(frames.filter(([stream]) => stream === name).map(([, bytes]) => bytes));
          expect(got[name].equals(wanted)).toBe(true);
        }
      },
    ),
  );
});

test("what the script says is told from what the command prints, wherever it is cut", () => {
  const word = "\u001eword";
  // Beginnings of the word are the hard part.
  const printable = fc.constantFrom("a", ";", "\u001e", "\u001ew", "\u001ewor", "\u001e\u001ewo", "line\n");
  const piece = fc.oneof(
    fc.record({ text: printable, said: fc.constant(false) }),
    fc.record({ text: fc.constantFrom("s12", "x0,0", "l1"), said: fc.constant(true) }),
  );
  fc.assert(
    fc.property(fc.array(piece), fc.array(fc.nat(9)), (pieces, cuts) => {
      const sent = pieces.map(({ text, said }) => (said ? `${word}${text};` : text)).join("");
      let printed = "";
      const said: string[] = [];
      const apart = tellApart(word, {
        printed: (bytes) => (printed += bytes.toString()),
        said: (text) => said.push(text),
      });
      for (const chunk of cut(Buffer.from(sent), cuts)) apart.push(chunk);
      apart.end();
      expect(printed).toBe(pieces.flatMap((each) => (each.said ? [] : [each.text])).join(""));
      expect(said).toEqual(pieces.flatMap((each) => (each.said ? [each.text] : [])));
    }),
  );
});

test("output is held back only while it could be the word", () => {
  const printed: string[] = [];
  const apart = tellApart("\u001eword", { printed: (bytes) => printed.push(bytes.toString()), said: () => {} });
  apart.push(Buffer.from("tick"));
  expect(printed).toEqual(["tick"]);
  apart.push(Buffer.from("a\u001ewo"));
  expect(printed).toEqual(["tick", "a"]);
  apart.push(Buffer.from("man"));
  expect(printed).toEqual(["tick", "a", "\u001ewoman"]);
});

test("a word that is followed by no end is output after all", () => {
  let printed = "";
  const apart = tellApart("\u001eword", { printed: (bytes) => (printed += bytes.toString()), said: () => {} });
  const text = `\u001eword${"y".repeat(5000)}`;
  for (const chunk of cut(
    Buffer.from(text),
    Array.from({ length: 100 }, () => 40),
  ))
    apart.push(chunk);
  apart.end();
  expect(printed).toBe(text);
});

test.runIf(process.platform === "linux")("the script hands on environment, input and exit code by any shell", () => {
  const env = { PLAIN: "1", QUOTED: `it's "$HOME" \\n \`x\`\n second\tline `, EMPTY: "" };
  const command = 'printf "%s|" "$PLAIN" "$QUOTED" "${EMPTY-unset}"; cat; exit 7';
  const stdout = execFileSync(
    "/bin/sh",
    ["-c", readScript, "sandbox", "<word>", "w", "123456789012345", "", "", "\n", "/bin/sh", "-c", command],
    { input: `${commandLines(env)}the input`, env: { PATH: process.env["PATH"] }, stdio: ["pipe", "pipe", "pipe"] },
  ).toString();
  expect(stdout).toBe(`1|${env.QUOTED}||the input<word>l0;`);
});
