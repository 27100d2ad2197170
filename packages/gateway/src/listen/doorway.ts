// Promises that each connection of a listener is counted from when its source is known until it is closed, and its handshake until it is over. Trusts door.ts.
// Specified in docs/gateway.md (listen).
import type { Socket } from "node:net";
import type { DoorKeeping, DoorRefusal, Entered } from "../admit/door.ts";
import { type Source, sourceOf } from "../admit/source-prefix.ts";
import { SourceShares } from "../admit/source-share.ts";
import type { ListenBounds } from "../ports.ts";

export class Doorway {
  readonly #door: DoorKeeping;
  readonly #shares: SourceShares;
  readonly #shaking = new Map<string, Entered>();

  constructor(
    door: DoorKeeping,
    { sourceShare, connectionsMax }: Pick<ListenBounds, "sourceShare" | "connectionsMax">,
  ) {
    this.#door = door;
    this.#shares = new SourceShares(sourceShare, connectionsMax);
  }

  /** Null: it is in. `source`: absent where the socket's own peer is it. */
  enter(socket: Socket, isTls: boolean, source: Source = sourceOf(socket.remoteAddress)): DoorRefusal | null {
    const giveBack = this.#shares.take(source);
    if (giveBack === null) return "source-share";
    const entered = this.#door.enter(source, isTls);
    if (typeof entered === "string") {
      giveBack();
      return entered;
    }
    const key = isTls ? keyOf(socket) : "";
    if (isTls) this.#shaking.set(key, entered);
    socket.once("close", () => {
      if (this.#shaking.get(key) === entered) this.#shaking.delete(key);
      entered.left();
      giveBack();
    });
    return null;
  }

  /** `socket`: the one over TLS, which shows the addresses of the one below it. */
  secured(socket: Socket): void {
    const key = keyOf(socket);
    this.#shaking.get(key)?.secured();
    this.#shaking.delete(key);
  }
}

/** No two connections of a listener have these in common while both are open. */
const keyOf = ({ remoteAddress, remotePort, localAddress }: Socket): string =>
  `${remoteAddress} ${remotePort} ${localAddress}`;
