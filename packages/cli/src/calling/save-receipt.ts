// Promises the receipt of a call in a file: as the gateway gives it, and only when it is of that crossing. Trusts the gateway for when a checkpoint
// covers it. Specified in docs/receipts.md; whose log signed it, the holder checks with `audit check-proof`.
import { existsSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { parseReceipt } from "@sallyport/protocol/audit/receipt.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import type { CallAnswer, CallClient } from "./call-once.ts";

/** Checkpoints follow within about a second; one that is this often not there is missing. */
const triesMax = 15;
const waitMsMax = 5_000;

/** Throws CommandEnd before anything is called where the file could not be made afterwards. */
export function refuseTaken(file: string): void {
  if (existsSync(file))
    throw new CommandEnd(exitCode.badUse, `${file} is there already`, "name a file that does not exist");
  if (!existsSync(dirname(file)))
    throw new CommandEnd(exitCode.badUse, `${file} cannot be written`, "name a new file in a folder that exists");
}

/** Fetches the receipt of a crossing, waiting for its checkpoint, and writes it. Throws CommandEnd where there is none. */
export async function saveReceipt(client: CallClient, crossing: string | null, file: string): Promise<void> {
  if (crossing === null)
    throw new CommandEnd(
      exitCode.no,
      "the answer names no crossing, so there is no receipt of it",
      "is it a gateway's?",
    );
  const text = await fetchReceipt(client, crossing);
  try {
    writeFileSync(file, text, { flag: "wx" });
  } catch {
    throw new CommandEnd(exitCode.badUse, `${file} cannot be written`, "name a new file in a folder that exists");
  }
}

async function fetchReceipt(client: CallClient, crossing: string): Promise<string> {
  const target = `/.well-known/sallyport/receipts/${crossing}`;
  let answer: CallAnswer | null = null;
  for (let i = 0; i < triesMax; i++) {
    if (answer !== null) await wait(Math.min(waitMsMax, 1_000 * Number(answer.headers["retry-after"] ?? 1)));
    answer = await client.call({ method: "GET", target, headers: {}, body: null });
    const text = new TextDecoder().decode(answer.body);
    if (answer.status === 200 && parseReceipt(text) !== null) return text;
    if (answer.status !== 503 && answer.status !== 429) break;
  }
  const code = /code=([a-z-]+)/.exec(answer?.headers["sallyport-verdict"] ?? "")?.[1] ?? `status ${answer?.status}`;
  throw new CommandEnd(
    exitCode.no,
    `the call is over, but the gateway gives no receipt of ${crossing}: ${code}`,
    `sallyport audit prove ${crossing} makes it from the gateway's log`,
  );
}
