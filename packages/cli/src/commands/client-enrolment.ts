// Promises that an operator can hand out a code, and that a workload with it makes its own key pair, whose private half leaves its file for nobody.
// Trusts control's admin API and the issuer's TLS identity. Specified in docs/identity/client-authentication.md "Enrolling a key", docs/cli/client.md.
import { createHash } from "node:crypto";
import { closeSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { JsonAnswer } from "@sallyport/sdk/http.ts";
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { parseDuration } from "../duration.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { createTerminal } from "../terminal.ts";
import { openNew } from "./new-file.ts";

interface CodeFlags {
  readonly out: string;
  readonly reason: string;
  readonly environment: string;
  readonly lifetime: string;
  readonly goodFor?: string;
}

/** `sallyport client key code`. */
export function enrolmentCodeCommand(key: Command, connect: Connect): void {
  key
    .command("code <client>")
    .description("make a code by which a workload brings in one key of its own; an earlier unused one ends")
    .requiredOption("--out <file>", "where to write the code (created with mode 0600, never overwritten)")
    .requiredOption("--reason <text>", "why; it is recorded")
    .option("--environment <environment>", "which environment", "production")
    .option("--lifetime <duration>", "how long the code is good, a day at most", "15m")
    .option("--good-for <duration>", "how long the key is good that it lets in; without it until it is ended")
    .action(async (id: string, flags: CodeFlags, command: Command) => {
      const { client, terminal } = await connect(command);
      const { environment, reason, out, lifetime, goodFor } = flags;
      const body = {
        environment,
        reason,
        lifetimeMs: parseDuration(lifetime),
        ...(goodFor === undefined ? {} : { keyLifetimeMs: parseDuration(goodFor) }),
      };
      const file = openNew(out);
      try {
        const made = await client.call<{ code: string; issuer: string; expiresAt: number }>(
          "POST",
          `/v1/clients/${encodeURIComponent(id)}/enrolment-codes`,
          body,
        );
        writeFileSync(file, `${made.code}\n`);
        const { code: _, ...shown } = made;
        terminal.result({ client: id, file: out, ...shown }, () => [
          `${out}: a code for one key of ${id}, good until ${new Date(made.expiresAt).toISOString()}`,
          `there: sallyport client key enroll --issuer ${made.issuer} --code ${out} --private ${id}.key.pem`,
        ]);
      } catch (error) {
        rmSync(out, { force: true });
        throw error;
      } finally {
        closeSync(file);
      }
    });
}

interface EnrolFlags {
  readonly issuer: string;
  readonly code: string;
  readonly private: string;
  readonly ca?: string;
}

/** `sallyport client key enroll`: needs no operator, only the code. */
export function enrolCommand(key: Command): void {
  key
    .command("enroll")
    .description("where the workload runs: make a key pair and bring its public half in by a code")
    .requiredOption("--issuer <url>", "the issuer, as `client key code` shows it")
    .requiredOption("--code <file>", "file that holds the code; - reads it from standard input")
    .requiredOption("--private <file>", "where the private key goes (PEM, mode 0600, never overwritten)")
    .option("--ca <file>", "roots that the issuer's certificate must chain to (PEM), in place of the public ones")
    .action(async (flags: EnrolFlags, command: Command) => {
      const code = readText(flags.code, "the code").trim();
      const terminal = createTerminal(command.optsWithGlobals<{ json?: boolean }>().json === true);
      const { generateClientKey } = await import("@sallyport/sdk/node-crypto.ts");
      const { signer, pem } = generateClientKey();
      // Before anything is sent: a key that cannot be kept must not be one that counts.
      const file = openNew(flags.private);
      try {
        writeFileSync(file, pem);
        const answer = await enrol(flags, code, signer);
        terminal.result({ ...answer, private: flags.private }, () => [
          `${flags.private}: private key of ${answer.client}, for the workload alone`,
          `key ${answer.kid} speaks for it${answer.notAfter === null ? "" : ` until ${new Date(answer.notAfter).toISOString()}`}`,
        ]);
      } catch (error) {
        rmSync(flags.private, { force: true });
        throw error;
      } finally {
        closeSync(file);
      }
    });
}

interface Enrolled {
  readonly client: string;
  readonly kid: string;
  readonly notAfter: number | null;
}

type Signer = ReturnType<typeof import("@sallyport/sdk/node-crypto.ts").generateClientKey>["signer"];

async function enrol({ issuer, ca }: EnrolFlags, code: string, signer: Signer): Promise<Enrolled> {
  const [{ DpopProofs }, { fetchJson }, { tlsFetch }] = await Promise.all([
    import("@sallyport/sdk/dpop-proofs.ts"),
    import("@sallyport/sdk/http.ts"),
    import("@sallyport/sdk/tls-fetch.ts"),
  ]);
  if (!issuer.startsWith("https://"))
    throw new CommandEnd(exitCode.badUse, "--issuer is not an https URL", "copy it from `sallyport client key code`");
  const url = new URL(`${issuer.replace(/\/$/, "")}/client-keys`);
  const transport = tlsFetch(ca === undefined ? {} : { ca: readText(ca, "the roots") });
  const proofs = new DpopProofs(async () => signer, Date.now);
  const ath = createHash("sha256").update(code).digest("base64url");
  const ask = async (): Promise<JsonAnswer> =>
    fetchJson(transport, url.href, {
      method: "POST",
      headers: { dpop: await proofs.make({ method: "POST", url, ath }) },
      body: new URLSearchParams({ code, jwk: JSON.stringify(signer.jwk) }),
    }).catch((error: unknown) => {
      const why = error instanceof Error ? (error.cause instanceof Error ? error.cause : error).message : "no answer";
      throw new CommandEnd(exitCode.no, `${url.href} did not answer: ${why}`, "check --issuer and --ca");
    });
  const first = await ask();
  // The first answer brings the nonce that the proof has to be over.
  const answer = proofs.learn(url.origin, first.headers, undefined) && first.status !== 201 ? await ask() : first;
  const { client_id: client, kid, not_after: notAfter, error_description: why } = answer.body ?? {};
  if (answer.status === 201 && typeof client === "string" && typeof kid === "string")
    return { client, kid, notAfter: typeof notAfter === "number" ? notAfter : null };
  throw new CommandEnd(
    exitCode.no,
    `the key was not taken (${answer.status})`,
    typeof why === "string" && /^[ -~]{1,300}$/.test(why) ? why : "see what control logged",
  );
}

function readText(path: string, what: string): string {
  try {
    return readFileSync(path === "-" ? 0 : path, "utf8");
  } catch {
    throw new CommandEnd(exitCode.badUse, `${path} cannot be read`, `name the file that holds ${what}`);
  }
}
