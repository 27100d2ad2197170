// Promises that what oidc-provider has to say reaches the process log as a line of its own like any other, and that what is no news is left out.
// Trusts that it says everything through console.warn and console.info, behind its own name. See docs/decisions/0003-oidc-provider.md.
import type { RoleLogger } from "./running-role.ts";

const itsWord = /^(?:\u001b\[[0-9;]*m)?oidc-provider (?:WARNING|NOTICE): (.*?)(?:\u001b\[0m)?$/s;

/** Of its runtime: the exact one is pinned and tested here. Of the body: a form is read by us, within our bounds, before it is asked. */
const noNews: readonly string[] = ["Unsupported runtime", "already parsed request body detected"];

/** From now on, for this process. */
export function takeLibraryWords(logger: RoleLogger): void {
  for (const level of ["warn", "info"] as const) {
    const say = console[level];
    console[level] = (...said: readonly unknown[]) => {
      const [, word] = itsWord.exec(String(said[0])) ?? [];
      if (word === undefined) say(...said);
      else if (!noNews.some((known) => word.startsWith(known))) logger.warn({ library: "oidc-provider" }, word);
    };
  }
}
