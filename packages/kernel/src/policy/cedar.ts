// Promises private instances of the Cedar evaluator (WebAssembly), made on demand, never at import.
// Trusts the pinned npm package @cedar-policy/cedar-wasm (docs/decisions/0005-cedar.md).
// Specified by the Cedar language reference; the JSON forms by the package's own type declarations.
import { createRequire } from "node:module";

// Only the calls this folder makes; tests pass an instance that breaks on purpose.
export type Cedar = Pick<
  typeof import("@cedar-policy/cedar-wasm/nodejs"),
  "policySetTextToParts" | "policyToJson" | "validate" | "preparsePolicySet" | "preparseSchema" | "statefulIsAuthorized"
>;

const packagePath = "@cedar-policy/cedar-wasm/nodejs";

/**
 * A new instance with a memory of its own. Two users of one instance would share its table of parsed policy sets, and an
 * instance that trapped once may hold a lock for ever; so every engine has its own, and a new one after a trap.
 */
export function instantiateCedar(): Cedar {
  const require = createRequire(import.meta.url);
  delete require.cache[require.resolve(packagePath)];
  // The package's declarations describe this very module; `require` itself is untyped.
  return require(packagePath) as Cedar;
}

/** Asks an evaluator; undefined when it trapped (an expression nested too deeply can). The next question gets a new instance. */
export type AskCedar = <Answer>(question: (cedar: Cedar) => Answer) => Answer | undefined;

/** For compiling, where nothing is kept inside the evaluator between two questions. */
export function createAskCedar(instantiate: () => Cedar = instantiateCedar): AskCedar {
  let cedar: Cedar | undefined;
  return (question) => {
    cedar ??= instantiate();
    try {
      return question(cedar);
    } catch {
      cedar = undefined;
      return undefined;
    }
  };
}
