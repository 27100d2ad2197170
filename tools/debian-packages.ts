// Promises the programs from Debian that tests run against, installed where they are missing, or a reason in words why they are not.
// Trusts apt. One list for the whole repository: a test that needs a program imports `debianProgram` from here, which is also how the run
// knows to install it.
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";

/** Program -> the packages that bring it, and where what it needs besides itself lies. */
const programs = {
  nginx: { packages: ["nginx-light"] },
  haproxy: { packages: ["haproxy"] },
  caddy: { packages: ["caddy"] },
  // Limits that gateways share. Each test starts its own, with redis-cli beside it.
  "redis-server": { packages: ["redis-server", "redis-tools"], needs: "/usr/bin/redis-cli" },
  // Receives audit records as syslog over TLS.
  rsyslogd: { packages: ["rsyslog", "rsyslog-gnutls"], needs: "/var/lib/dpkg/info/rsyslog-gnutls.list" },
  "systemd-analyze": { packages: ["systemd"] },
  // Signs in as a person would: the pages of the authorization server, with a passkey of a virtual authenticator.
  chromium: { packages: ["chromium"] },
  // Renders the Helm chart, with the function library of Helm's templates.
  go: {
    packages: ["golang-go", "golang-github-masterminds-sprig-dev"],
    needs: "/usr/share/gocode/src/github.com/Masterminds/sprig",
  },
} as const satisfies Record<string, { readonly packages: readonly string[]; readonly needs?: string }>;

export type DebianProgram = keyof typeof programs;

const installTimeoutMs = 300_000;
/** Packages of servers start them when this says nothing: tests start their own, on ports of their own. */
const policyFile = "/usr/sbin/policy-rc.d";
/** Where Debian puts servers is not on everybody's path. */
const moreFolders = ["/usr/sbin", "/usr/local/sbin"];

/** Path of an installed program. Throws with what to do when there is none. */
export function debianProgram(program: DebianProgram): string {
  const found = find(program);
  if (found !== null && isWhole(program)) return found;
  const packages = programs[program].packages.join(" ");
  throw new Error(`${program} is not installed: apt-get install ${packages}, or run the tests as root on Debian`);
}

function find(program: string): string | null {
  const folders = [...(process.env.PATH ?? "").split(delimiter), ...moreFolders];
  return folders.map((folder) => join(folder, program)).find(isProgram) ?? null;
}

function isWhole(program: DebianProgram): boolean {
  const one: { readonly packages: readonly string[]; readonly needs?: string } = programs[program];
  return find(program) !== null && (one.needs === undefined || existsSync(one.needs));
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export interface Installed {
  readonly ok: boolean;
  /** One line. */
  readonly note: string;
  /** What apt said, when it said no. */
  readonly output: string;
}

/** Installs what is missing (as root, on Debian and its relatives). Does nothing where everything is there. */
export function installDebianPackages(): Installed {
  const names = Object.keys(programs) as DebianProgram[]; // the keys of a constant
  const missing = names.filter((name) => !isWhole(name)).flatMap((name) => programs[name].packages);
  if (missing.length === 0) return { ok: true, note: `${names.join(", ")}: here`, output: "" };
  const by = `apt-get install --no-install-recommends ${missing.join(" ")}`;
  if (find("apt-get") === null) return failed(`no apt-get here to install ${missing.join(", ")} with`, "");
  if (process.getuid?.() !== 0) return failed(`not root: install them once yourself: sudo ${by}`, "");
  return withoutStarting(() => {
    const updated = apt(["update"]);
    const done = apt(["install", "-y", "--no-install-recommends", ...missing]);
    const left = names.filter((name) => !isWhole(name));
    if (left.length === 0) return { ok: true, note: `installed ${missing.join(", ")}`, output: "" };
    return failed(`${by} did not bring ${left.join(", ")}`, `${updated}${done}`);
  });
}

const failed = (note: string, output: string): Installed => ({ ok: false, note, output });

function apt(args: readonly string[]): string {
  const done = spawnSync("apt-get", ["-q", "-o", "DPkg::Lock::Timeout=120", ...args], {
    encoding: "utf8",
    timeout: installTimeoutMs,
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
  return `${done.stdout}${done.stderr}`;
}

/** Debian's own way to install a server without starting it; what stands there already is left alone. */
function withoutStarting<T>(install: () => T): T {
  if (existsSync(policyFile)) return install();
  writeFileSync(policyFile, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    return install();
  } finally {
    rmSync(policyFile, { force: true });
  }
}
