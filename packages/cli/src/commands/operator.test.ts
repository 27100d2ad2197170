// The key file of a further operator: private, new, and for the control plane that one's own file names. That control takes it: audit-shipped.e2e.test.ts.
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { freshKeyFile, parseKeyFile } from "@sallyport/control/identity/operator-key.ts";
import { runBinary } from "../program.test-support.ts";

const bounded = { timeout: 120_000 };
const folder = mkdtempSync(join(tmpdir(), "sallyport-operator-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const issuer = "https://control.acme.example:8443/operators";
const pin = `${"A".repeat(43)}=`;
const own = join(folder, "own.key.json");
writeFileSync(own, freshKeyFile("admin", { issuer, pin }).file, { mode: 0o600 });
const make = (name: string, ...more: readonly string[]) => runBinary(["operator", "key", name, ...more]);

test(
  "a further operator's key is made once: private half for its owner alone, public half without a private member",
  bounded,
  async () => {
    const path = join(folder, "ada.key.json");
    const made = await make("ada", "--operator", own, "--private", path);
    assert.equal(made.exit, 0, made.err);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const { operator, signer, ...place } = parseKeyFile(readFileSync(path), path);
    assert.deepEqual([operator, place], ["ada", { issuer, pin }]);
    const { keys } = JSON.parse(made.out);
    assert.deepEqual(Object.keys(keys[0]).sort(), ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    assert.deepEqual([keys.length, keys[0].kid], [1, signer.kid]);
    assert.match(made.err, /operators:\n {4}ada: \{ keys: \[ada\.jwks\.json\], roles: \[auditor\] \}/);
    const before = readFileSync(path);
    const again = await make("ada", "--operator", own, "--private", path);
    assert.deepEqual([again.exit, again.out], [2, ""]);
    assert.deepEqual(readFileSync(path), before, "never overwritten");
  },
);

test("who has no operator key makes it with issuer and pin; as JSON it says where the file is", bounded, async () => {
  const path = join(folder, "bob.key.json");
  const made = await make("bob", "--issuer", issuer, "--pin", pin, "--private", path, "--json");
  assert.equal(made.exit, 0, made.err);
  const said = JSON.parse(made.out);
  assert.deepEqual([said.operator, said.private, said.kid], ["bob", path, said.jwks.keys[0].kid]);
  assert.equal(parseKeyFile(readFileSync(path), path).signer.kid, said.kid);
});

test(
  "attack: an issuer without TLS or somewhere else, a pin that is none, a name that is a path: refused, and no file is made",
  bounded,
  async () => {
    const before = readdirSync(folder).length;
    const path = join(folder, "eve.key.json");
    const cases: readonly (readonly [string, ...string[]])[] = [
      ["eve", "--issuer", issuer.replace("https", "http"), "--pin", pin],
      ["eve", "--issuer", `${issuer}/../x`, "--pin", pin],
      ["eve", "--issuer", issuer, "--pin", "x"],
      ["eve", "--issuer", issuer],
      ["eve", "--pin", pin],
      ["../eve", "--issuer", issuer, "--pin", pin],
      ["Eve", "--issuer", issuer, "--pin", pin],
    ];
    for (const [name, ...more] of cases) {
      const { exit, out } = await make(name, ...more, "--private", path);
      assert.deepEqual([exit, out], [2, ""], more.join(" "));
    }
    assert.equal(readdirSync(folder).length, before);
  },
);

test(
  "attack: an operator key file that others may read is not taken, not even for where control is",
  bounded,
  async () => {
    const loose = join(folder, "loose.key.json");
    writeFileSync(loose, readFileSync(own));
    chmodSync(loose, 0o644);
    const { exit } = await make("mallory", "--operator", loose, "--private", join(folder, "mallory.key.json"));
    assert.equal(exit, 2);
  },
);
