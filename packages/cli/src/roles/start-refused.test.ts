// Rule 14: no variable switches off the verification of the other side; the binary itself refuses the start, in every role.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

const folder = mkdtempSync(join(tmpdir(), "sallyport-start-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const main = join(import.meta.dirname, "../main.ts");
const bounded = { timeout: 120_000 };

interface Ended {
  readonly exit: number | null;
  readonly said: string;
}

function serve(
  role: string,
  verification: string,
  more: readonly string[] = [],
): Promise<Ended & { readonly data: string }> {
  const data = join(folder, `${role}-${verification}`);
  // Should it start after all, a port that is never free stops it.
  const argv = [main, "serve", "--role", role, "--data", data, "--status-listen", "127.0.0.1:1", ...more];
  const env = { ...process.env, NODE_TLS_REJECT_UNAUTHORIZED: verification };
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, argv, { env, stdio: ["ignore", "pipe", "pipe"], timeout: 60_000 });
    let said = "";
    child.stdout.on("data", (chunk) => {
      said += chunk;
    });
    child.stderr.on("data", (chunk) => {
      said += chunk;
    });
    child.on("error", reject);
    child.on("close", (exit) => resolve({ exit, said, data }));
  });
}

for (const role of ["all", "control", "gateway"]) {
  test(
    `serve --role ${role} is refused under NODE_TLS_REJECT_UNAUTHORIZED=0, before it touches anything`,
    bounded,
    async () => {
      const { exit, said, data } = await serve(role, "0");
      assert.equal(exit, 2, said);
      assert.match(said, /NODE_TLS_REJECT_UNAUTHORIZED switches certificate verification off\. Unset it/);
      assert.equal(existsSync(data), false, "no data directory was made");
    },
  );
}

test(
  "a file of places that is none refuses the start of a gateway, and a control plane takes none at all: nothing is made",
  bounded,
  async () => {
    const file = join(folder, "countries.mmdb");
    writeFileSync(file, "<html>not found</html>");
    for (const [role, path, says] of [
      ["gateway", file, /--geo-file .*countries\.mmdb cannot be used.*MaxMind DB/s],
      ["all", join(folder, "absent.mmdb"), /cannot be used: ENOENT/],
      ["control", file, /--geo-file .*countries\.mmdb cannot be used.*MaxMind DB/s],
    ] as const) {
      const { exit, said, data } = await serve(role, "1", ["--geo-file", path]);
      assert.equal(exit, 2, said);
      assert.match(said, says);
      assert.equal(existsSync(data), false, role);
    }
  },
);

test(
  "keys for providers that others can read refuse the start of a gateway, and a control plane takes none",
  bounded,
  async () => {
    const keys = join(folder, "upstream-keys");
    mkdirSync(keys);
    writeFileSync(join(keys, "partner.key"), "hello", { mode: 0o644 });
    for (const [role, path, says] of [
      ["gateway", keys, /--upstream-keys .*cannot be used: .*partner\.key has mode 0644/s],
      ["all", join(folder, "absent"), /cannot be used: ENOENT/],
      ["control", keys, /--upstream-keys .*is for gateways/],
    ] as const) {
      const { exit, said, data } = await serve(role, "1", ["--upstream-keys", path]);
      assert.equal(exit, 2, said);
      assert.match(said, says);
      assert.equal(existsSync(data), false, role);
    }
  },
);

test("with verification on the same command is refused for its own reason only", bounded, async () => {
  const { exit, said } = await serve("gateway", "1");
  assert.notEqual(exit, 0);
  assert.doesNotMatch(said, /switches certificate verification off/);
});
