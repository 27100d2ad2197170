// Promises the messages between the thread that makes receipts and its client. Trusts both ends: they are one program.
import type { LogFaultCode } from "../log/fault.ts";
import type { FoundCrossing } from "./port.ts";

export interface ReceiptRequest {
  readonly ticket: number;
  readonly crossing: string;
}

export type ReceiptAnswer =
  | { readonly ticket: number; readonly found: FoundCrossing }
  | { readonly ticket: number; readonly fault: { readonly code: LogFaultCode; readonly internal: string } };
