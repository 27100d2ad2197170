// Promises a number from 0 up to and without 1 out of the random port. Trusts it.
import type { Random } from "@sallyport/kernel/ports.ts";

const bytesOfNumber = 4;

export function uniform(random: Random): number {
  const [a = 0, b = 0, c = 0, d = 0] = random.bytes(bytesOfNumber);
  return (((a * 256 + b) * 256 + c) * 256 + d) / 2 ** 32;
}
