// Promises signers for tests that behave as a key service may: late, never, with an error, with the wrong key, or right; told which by a file.
// Trusts the test that writes the file.
import { readFileSync } from "node:fs";
import type { CheckpointSigner } from "./checkpoint-signer.ts";
import { importLogKey } from "./log-crypto.ts";

/** Keys of RFC 8410 and of nobody, so that no run depends on chance. */
const own = "302e020100300506032b657004220420d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842";
const other = "302e020100300506032b6570042204209d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";

/** `options.mood` names a file that holds one word: right, wrong-key, other-bytes, fails, throws, never, short. */
export function openSigner(options: unknown): CheckpointSigner {
  // Only the tests beside this file name it.
  const { mood } = options as { readonly mood: string };
  const [right, wrong] = [own, other].map((hex) => importLogKey(Buffer.from(hex, "hex")));
  if (right === undefined || wrong === undefined) throw new Error("two keys");
  return {
    publicKey: right.publicKey,
    sign(message) {
      const word = readFileSync(mood, "utf8").trim();
      if (word === "throws") throw new Error("no route to the key service");
      return answer(word, message, right, wrong);
    },
  };
}

async function answer(
  word: string,
  message: Uint8Array,
  right: CheckpointSigner,
  wrong: CheckpointSigner,
): Promise<Uint8Array> {
  await new Promise((resolve) => setImmediate(resolve));
  if (word === "fails") throw new Error("the key service is busy");
  if (word === "never") return new Promise<Uint8Array>(() => {});
  if (word === "wrong-key") return wrong.sign(message);
  if (word === "other-bytes") return right.sign(Buffer.concat([message, Buffer.from("x")]));
  const signature = await right.sign(message);
  return word === "short" ? signature.subarray(0, 63) : signature;
}
