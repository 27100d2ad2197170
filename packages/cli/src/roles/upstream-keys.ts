// Promises that the folder of keys for providers is one before anything else is touched, or a refusal to start that says what to do. Trusts
// gateway/forward/upstream-keys.ts to read it, which is loaded only where a folder is named. Specified in docs/dial.md (certificates of ours).
import { resolve } from "node:path";
import { CommandEnd, exitCode } from "../exit.ts";

/** The folder in full. Throws CommandEnd (bad use) for one that cannot be read, or with a file that is no private key of ours alone. */
export async function checkUpstreamKeys(
  role: "all" | "control" | "gateway",
  path: string | undefined,
): Promise<string | null> {
  if (path === undefined) return null;
  const option = `--upstream-keys ${path}`;
  if (role === "control")
    throw new CommandEnd(exitCode.badUse, `${option} is for gateways`, "give it to the gateways, or use --role all");
  const { openUpstreamKeys } = await import("@sallyport/gateway/forward/upstream-keys.ts");
  const directory = resolve(path);
  try {
    openUpstreamKeys({ directory, monotonic: () => 0, warn: () => undefined });
  } catch (error) {
    throw new CommandEnd(
      exitCode.badUse,
      `${option} cannot be used: ${error instanceof Error ? error.message : String(error)}`,
      "name a folder with private keys in PEM (*.key, *.pem), each with mode 0600",
    );
  }
  return directory;
}
