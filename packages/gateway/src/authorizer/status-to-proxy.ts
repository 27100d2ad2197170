// Promises a status that the asking proxy can hand on: never a yes for a no. Trusts nothing. Pure. Specified in docs/authorizer.md (answers).
import type { Exchange } from "../exchange.ts";

/** nginx knows three answers, and takes every other one for a failure of ours: what callers did wrong is a 403 then. */
export function statusToProxy(asked: Exchange["asked"], status: number): number {
  return asked === "nginx" && status >= 400 && status < 500 && status !== 401 ? 403 : status;
}
