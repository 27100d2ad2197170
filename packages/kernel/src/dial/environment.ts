// Promises that no variable of the environment weakens peer verification. Trusts nothing. Rule: DESIGN §7.14.

/** The environment would switch verification off; the start is refused. */
export class EnvironmentFault extends Error {
  readonly code = "tls-verification-off";
  readonly publicText = "The process is not set up safely";

  constructor(message: string) {
    super(message);
    this.name = "EnvironmentFault";
  }
}

/** Call it before anything else. Faults: EnvironmentFault, whose message says what to unset. */
export function assertEnvironment(env: Readonly<Record<string, string | undefined>>): void {
  const value = env["NODE_TLS_REJECT_UNAUTHORIZED"];
  // Node turns verification off for exactly "0"; other spellings of no show the same intent.
  if (value !== undefined && /^\s*(0+|false|no|off)\s*$/i.test(value)) {
    throw new EnvironmentFault(
      "NODE_TLS_REJECT_UNAUTHORIZED switches certificate verification off. Unset it; to trust a private CA, name its certificate in trust/<name>.yaml or tls.ca",
    );
  }
}
