// Promises real proxies in front of a real installation for tests: blocks of a page with other addresses, certificates, nginx and HAProxy until they answer.
// Trusts nothing outside the test.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { connect } from "node:net";
import { createLocalCa, issueLeaf, type LocalCa } from "@sallyport/kernel/x509/issue.ts";
import type { CertificateNames } from "@sallyport/kernel/x509/names.ts";
import { debianProgram } from "../../../tools/debian-packages.ts";
import { until } from "./installation.test-support.ts";

const hourMs = 3_600_000;
const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };

export const newCa = (use: string): LocalCa =>
  createLocalCa({
    tenant: "main",
    environment: "production",
    random,
    notBeforeMs: Date.now() - hourMs,
    notAfterMs: Date.now() + 24 * hourMs,
    use,
  });

export function issue(ca: LocalCa, names: CertificateNames, usage: "client" | "server") {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const window = { notBeforeMs: Date.now() - hourMs, notAfterMs: Date.now() + hourMs };
  const publicKeySpki = publicKey.export({ format: "der", type: "spki" });
  const issued = issueLeaf({ ca, publicKeySpki, names, usage, random, ...window });
  const key = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  return { cert: issued.pem + ca.certificatePem, key };
}

/** A block with every placeholder replaced; a placeholder that is gone fails. */
export function replaced(block: string, changes: Readonly<Record<string, string>>): string {
  let text = block;
  for (const [from, to] of Object.entries(changes)) {
    assert.ok(text.includes(from), `the block has ${from}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

/** `nginx.conf` in this folder around these servers. */
export function nginxConf(folder: string, servers: readonly string[]): string {
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  return `daemon off; ${process.getuid?.() === 0 ? "user root;" : ""} pid ${folder}/pid; error_log stderr; worker_processes 1;
events {} http { access_log off; ${paths.join(" ")}
${servers.join("\n")} }`;
}

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("close", () => socket.destroy()).once("connect", () => socket.destroy());
  });

/** Resolves when it answers on `port`; the caller ends the process. */
export async function startProxy(
  program: "nginx" | "haproxy" | "caddy",
  args: readonly string[],
  port: number,
): Promise<ChildProcess> {
  const child = spawn(debianProgram(program), args, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (chunk) => {
    said += String(chunk);
  });
  await until(`${program} on ${port}`, async () => {
    if (child.exitCode !== null) throw new Error(`${program} ended: ${said}`);
    return answers(port);
  }).catch((error: unknown) => {
    child.kill("SIGTERM");
    throw error;
  });
  return child;
}
