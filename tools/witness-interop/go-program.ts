// Promises the Go program beside it, built with Debian's Go and the packages its own source tree carries; for tests and for vectors/witness.json.
// Trusts tools/debian-packages.ts for the compiler.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { debianProgram } from "../debian-packages.ts";

/** Compiles it below `folder`; the path of the program. Throws with what the compiler said. */
export function buildInterop(folder: string): string {
  const go = debianProgram("go");
  const root = spawnSync(go, ["env", "GOROOT"], { encoding: "utf8" }).stdout.trim();
  const path = mkdtempSync(join(folder, "gopath-"));
  const modules = join(path, "src/golang.org");
  mkdirSync(modules, { recursive: true });
  symlinkSync(join(root, "src/cmd/vendor/golang.org/x"), join(modules, "x"));
  const program = join(path, "witness");
  const files = ["main.go", "vectors.go"].map((name) => join(import.meta.dirname, name));
  const env = { ...process.env, GO111MODULE: "off", GOPATH: path, GOCACHE: join(path, "cache"), GOFLAGS: "" };
  const done = spawnSync(go, ["build", "-o", program, ...files], { env, encoding: "utf8", timeout: 120_000 });
  if (done.status !== 0) throw new Error(`the Go program does not build: ${done.stderr}`);
  return program;
}
