// Promises one signer for each kind of token and one verifier for all of them: whoever else imports the pen or takes tokens apart is found.
// Trusts the names protocol/token exports. Specified in DESIGN §7.5 and docs/rules.md.
import { importsOf } from "./imports.ts";
import { isProduct, type SourceFile, type Violation } from "./source-text.ts";

interface Pen {
  readonly names: readonly string[];
  readonly from: string;
  /** The files that may import it. */
  readonly hands: readonly string[];
}

const token = "@sallyport/protocol/token";

export const pens: readonly Pen[] = [
  {
    names: ["signAccessToken"],
    from: `${token}/access-token.ts`,
    hands: ["packages/control/src/identity/mint.ts"],
  },
  {
    names: ["signIdTokenClaims"],
    from: `${token}/id-token.ts`,
    hands: ["packages/control/src/identity/mint.ts"],
  },
  {
    names: ["signLogoutTokenClaims"],
    from: `${token}/logout-token.ts`,
    hands: ["packages/control/src/identity/mint.ts"],
  },
  {
    names: ["signNextHopAssertion"],
    from: `${token}/next-hop-assertion.ts`,
    hands: ["packages/control/src/identity/mint.ts"],
  },
  {
    names: ["signHopToken"],
    from: `${token}/hop-token.ts`,
    hands: ["packages/gateway/src/exchange/hop-tokens.ts"],
  },
  {
    names: ["signMessage"],
    from: "@sallyport/protocol/signature/sign-message.ts",
    hands: ["packages/gateway/src/forward/sign-request.ts"],
  },
  {
    names: ["signHopKey"],
    from: `${token}/hop-token.ts`,
    hands: ["packages/control/src/gateways/channel-service.ts"],
  },
  {
    names: ["signManifest"],
    from: "@sallyport/protocol/snapshot/manifest.ts",
    hands: ["packages/control/src/gateways/publisher.ts"],
  },
  {
    names: ["signIntrospection"],
    from: `${token}/introspection.ts`,
    hands: ["packages/control/src/identity/tokens/introspection.ts"],
  },
  {
    // A client's assertion about itself is signed with the client's own key: the SDK's, the operator's in the CLI, and control's as a client outside.
    names: ["signCompactJws", "jwsSigningInput"],
    from: `${token}/jws.ts`,
    hands: [
      "packages/sdk/src/signer.ts",
      "packages/cli/src/admin-client.ts",
      "packages/control/src/identity/trust/ask-issuer.ts",
    ],
  },
  {
    // A second reading of tokens would be a second verifier. These read assertions (RFC 7523) and signed requests (RFC 9101), by the same strict parser.
    names: ["parseCompactJws", "checkSignature"],
    from: `${token}/jws.ts`,
    hands: [
      "packages/control/src/identity/operators.ts",
      "packages/control/src/identity/one-spelling.ts",
      "packages/control/src/identity/machine-request.ts",
    ],
  },
];

/** Libraries that sign or verify tokens; tests may judge ours with them. */
const libraries: ReadonlySet<string> = new Set(["jose", "jsonwebtoken", "jws", "jwa", "node-jose"]);

/** Imports of a pen outside its hands, of the verifier's parts anywhere outside protocol, and of a foreign token library. */
export function strangePens(files: readonly SourceFile[]): readonly Violation[] {
  return files
    .filter(({ path }) => isProduct(path) && !path.startsWith("packages/protocol/") && !path.includes("test-support"))
    .flatMap((file) =>
      importsOf(file.text).flatMap(({ specifier, names, line, typeOnly }): Violation[] => {
        if (typeOnly) return [];
        if (libraries.has(specifier))
          return [
            { path: file.path, line, message: `${specifier} signs or verifies tokens: protocol/token does that` },
          ];
        return pens
          .filter(
            (pen) =>
              pen.from === specifier &&
              pen.names.some((name) => names.includes(name)) &&
              !pen.hands.includes(file.path),
          )
          .map((pen) => ({
            path: file.path,
            line,
            message: `${pen.names.join(", ")} belongs to ${pen.hands.join(" and ")}`,
          }));
      }),
    );
}
