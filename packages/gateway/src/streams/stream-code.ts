// Promises the word a caller is told when something that was let pass is ended: the code of the denial, where it tells nothing that its token does not
// say itself. Trusts problem.ts. Specified in docs/streams.md, DESIGN §7.13.
import { type ProblemCode, publicCode } from "@sallyport/protocol/problem.ts";

/** `token-expired` stands in the token, so it may be said; of everything else that identifies, callers see one face. */
export function streamCode(code: ProblemCode): string {
  return code === "token-expired" ? code : publicCode(code);
}
