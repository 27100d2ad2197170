// Promises frames as RFC 6455 has them, in the fewest octets; to a provider they are masked anew, because towards it we are the client.
// Trusts its caller for the order of frames. Specified in RFC 6455 §5.2, §5.3 and §5.5.1.
import { masked, opcodes } from "./frame-reader.ts";

export interface FrameShape {
  readonly opcode: number;
  readonly isFinal: boolean;
  /** Four octets that nobody can foresee; null: a frame of a server. */
  readonly mask: Uint8Array | null;
}

export function frame(payload: Uint8Array, { opcode, isFinal, mask }: FrameShape): Buffer {
  const { length } = payload;
  const lengthBytes = length < 126 ? 0 : length < 65_536 ? 2 : 8;
  const headBytes = 2 + lengthBytes + (mask === null ? 0 : 4);
  const octets = Buffer.allocUnsafe(headBytes + length);
  octets[0] = (isFinal ? 0x80 : 0) | opcode;
  const maskBit = mask === null ? 0 : 0x80;
  if (lengthBytes === 0) octets[1] = maskBit | length;
  else if (lengthBytes === 2) {
    octets[1] = maskBit | 126;
    octets.writeUInt16BE(length, 2);
  } else {
    octets[1] = maskBit | 127;
    octets.writeUInt32BE(0, 2);
    octets.writeUInt32BE(length, 6);
  }
  if (mask === null) octets.set(payload, headBytes);
  else {
    octets.set(mask, headBytes - 4);
    masked(octets.subarray(headBytes), payload, { from: 0, mask, at: 0 });
  }
  return octets;
}

/** Payload of a Close: its code, and a reason of ours (ASCII, at most 123 octets). */
export function closePayload(code: number, reason: string): Buffer {
  const payload = Buffer.alloc(2 + reason.length);
  payload.writeUInt16BE(code, 0);
  payload.write(reason, 2, "latin1");
  return payload;
}

/** The opcode of a piece of a message: all behind the first are continuations. */
export function partOpcode(of: { readonly opcode: 1 | 2; readonly isFirst: boolean }): number {
  return of.isFirst ? of.opcode : opcodes.continuation;
}
