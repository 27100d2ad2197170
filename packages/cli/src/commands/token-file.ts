// Promises that a token comes from a file or standard input, and that one on a command line is refused without being repeated.
// Trusts nothing. Specified in docs/cli/token.md.
import { readFileSync } from "node:fs";
import { CommandEnd, exitCode } from "../exit.ts";

/** What control says of a token (packages/control/src/identity/tokens/token-actions.ts). */
export interface TokenReport {
  readonly state: string;
  readonly environment: string | null;
  readonly kid: string | null;
  readonly claims: Readonly<Record<string, unknown>> | null;
  readonly revoked: {
    readonly kind: string;
    readonly value: string;
    readonly seq: number;
    readonly notBefore: number;
  } | null;
  readonly why: string | null;
}

/** A handle, or a JWT or JWE in compact form. */
const tokenForm = /^(?:spt1_[\w-]{20,}|eyJ[\w-]+(?:\.[\w-]*){2,4})$/;

/** Ends the command where a token stands in place of an id or a file; the text is not repeated. */
export function refuseTokenText(text: string, instead: string): void {
  if (!tokenForm.test(text)) return;
  throw new CommandEnd(
    exitCode.badUse,
    "that is a token, and a command line is read by others and kept by shells",
    `put it into a file and write ${instead}; - reads it from standard input`,
  );
}

/** The token a file holds, `-` for standard input. Throws CommandEnd, without repeating a token given for a name. */
export function readToken(file: string): string {
  refuseTokenText(file, "the name of the file");
  try {
    return readFileSync(file === "-" ? 0 : file, "utf8").trim();
  } catch {
    throw new CommandEnd(exitCode.badUse, `${file} cannot be read`, "name a file that holds the token alone");
  }
}
