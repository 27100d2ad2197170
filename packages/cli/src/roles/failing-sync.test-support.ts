// Promises a process whose fdatasync of segments of a log fails from the moment a file exists, as that of a dying disk does; loaded before the binary with
// `--import`. Of segments alone: a checkpoint that came first would end the log over a file of its own. Trusts the test that names the file, and /proc.
// SQLite has its own way to the disk and is not touched.
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const broken = process.env["TEST_DISK_BROKEN_FILE"] ?? "";
const failure = () => Object.assign(new Error("EIO: i/o error, fdatasync"), { code: "EIO", syscall: "fdatasync" });
const { fdatasync, fdatasyncSync } = fs;
const fails = (fd: number) => fs.existsSync(broken) && fs.readlinkSync(`/proc/self/fd/${fd}`).endsWith(".wal");
fs.fdatasyncSync = (fd) => {
  if (fails(fd)) throw failure();
  fdatasyncSync(fd);
};
fs.fdatasync = Object.assign((fd: number, done: fs.NoParamCallback) => {
  if (fails(fd)) setImmediate(done, failure());
  else fdatasync(fd, done);
}, fdatasync);
syncBuiltinESMExports();
