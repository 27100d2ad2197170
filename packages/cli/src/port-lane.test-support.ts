// Promises ports that stay free for the process of tests it hands them to, also before they are listened on and between two starts of what listens.
// Trusts that whoever runs tests takes its ports from here or from the system.
import { randomInt } from "node:crypto";
import { createServer, type Server } from "node:net";

const portsFrom = 20_000;
const portsTo = 32_000;
/** Ports of one process of tests; the first of them says that they are taken. */
const lanePorts = 80;
let lane: Promise<number> | undefined;
let nextInLane = 0;

/**
 * Ports of 127.0.0.1 that are free, below those that systems hand out by themselves, and in a lane that no other process of tests is given ports
 * from: until they are listened on, and while what listened on them is started again, nobody else takes one.
 */
export async function freePorts(count: number): Promise<readonly number[]> {
  lane ??= takeLane();
  const first = await lane;
  const ports: number[] = [];
  for (let tries = 0; ports.length < count; tries++) {
    if (tries > lanePorts) throw new Error(`no ${count} free ports from ${first}`);
    nextInLane = (nextInLane % (lanePorts - 1)) + 1;
    const port = first + nextInLane;
    const probe = await listen(port);
    if (probe === null) continue;
    await new Promise((resolve) => probe.close(resolve));
    ports.push(port);
  }
  return ports;
}

/** The first port of a lane. It is listened on as long as this process lives. */
async function takeLane(): Promise<number> {
  const lanes = (portsTo - portsFrom) / lanePorts;
  for (let at = randomInt(lanes), tries = 0; tries < lanes; at = (at + 1) % lanes, tries++) {
    const first = portsFrom + at * lanePorts;
    const holder = await listen(first);
    if (holder === null) continue;
    holder.unref();
    return first;
  }
  throw new Error(`no lane of ports is free from ${portsFrom} to ${portsTo}`);
}

function listen(port: number): Promise<Server | null> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(null));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => resolve(server));
  });
}
