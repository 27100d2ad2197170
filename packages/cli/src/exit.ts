// Promises the five exit codes scripts may rely on. Trusts nothing. Specified in docs/cli.md.

/** 0 yes · 1 the answer is no · 2 bad use or configuration · 3 unreachable · 4 not permitted. */
export const exitCode = { yes: 0, no: 1, badUse: 2, unreachable: 3, notPermitted: 4 } as const;

export type ExitCode = (typeof exitCode)[keyof typeof exitCode];

/** Ends a command with a code and words that name the place and the fix; main.ts prints it. */
export class CommandEnd extends Error {
  readonly exit: ExitCode;
  readonly fix: string;
  constructor(exit: ExitCode, message: string, fix = "") {
    super(message);
    this.name = "CommandEnd";
    this.exit = exit;
    this.fix = fix;
  }
}
