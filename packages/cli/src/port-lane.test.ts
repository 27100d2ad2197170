import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { freePorts } from "./port-lane.test-support.ts";

/** Lives, and so keeps its lane, until its input ends. */
const source = `import { freePorts } from "${new URL("port-lane.test-support.ts", import.meta.url).href}"; process.stdin.resume(); console.log(JSON.stringify(await freePorts(60)));`;

/** The ports that a process of its own is given, and how to end it. */
async function otherProcess() {
  const argv = ["--disable-warning=ExperimentalWarning", "--input-type=module", "--eval", source];
  const child = spawn(process.execPath, argv, { stdio: ["pipe", "pipe", "inherit"] });
  const [line] = await once(createInterface(child.stdout), "line");
  const end = async () => {
    child.stdin.end();
    await once(child, "exit");
  };
  return { ports: JSON.parse(String(line)) as readonly number[], end };
}

test("ports that are said to be free can be opened, and no two are the same", async () => {
  const ports = await freePorts(4);
  assert.equal(new Set(ports).size, 4);
  const [port] = ports;
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, "127.0.0.1", resolve));
  server.close();
});

test("another process gets none of them, listened on or not, and what is taken is passed over", async () => {
  const ours = await freePorts(60);
  const [taken = 0] = ours;
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(taken, "127.0.0.1", resolve));
  assert.ok(!(await freePorts(70)).includes(taken));
  server.close();
  const others = await Promise.all([1, 2, 3, 4].map(otherProcess));
  const all = [...ours, ...others.flatMap(({ ports }) => ports)];
  await Promise.all(others.map(({ end }) => end()));
  assert.equal(new Set(all).size, 5 * 60);
});
