import { PassThrough } from "node:stream";
import { expect, test, vi } from "vitest";
import { listenToStandardInput } from "./standard-input.ts";

test("the first line is the secrets, the end is the end of who wrote it", async () => {
  const stdin = new PassThrough();
  const input = listenToStandardInput(stdin);
  const gone = vi.fn<() => void>();
  input.onGone(gone);
  stdin.write('{"A":"hu');
  stdin.write('sh"}\n');
  expect(await input.secrets).toEqual({ A: "hush" });
  stdin.write("what nobody reads\n");
  expect(gone).not.toHaveBeenCalled();
  stdin.end();
  await vi.waitFor(() => expect(gone).toHaveBeenCalledOnce());
});

test("an input that ends at once brings no secrets; one that is none is refused without being quoted", async () => {
  const empty = new PassThrough();
  const input = listenToStandardInput(empty);
  empty.end();
  expect(await input.secrets).toEqual({});
  const wrong = new PassThrough();
  const refused = listenToStandardInput(wrong).secrets;
  wrong.write("hush\n");
  await expect(refused).rejects.toThrow(/^the secrets on STIGMER_SECRETS_FD are not a JSON object of strings$/);
});
