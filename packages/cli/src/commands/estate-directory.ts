// Promises that a directory which is no estate is refused before anything is read from it, applied or made: applied, it would remove everything.
// Trusts the names in the directory. Specified in docs/configuration.md "Files" and docs/cli.md.
import { readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { CommandEnd, exitCode } from "../exit.ts";

/** Throws CommandEnd (bad use) unless the directory can be read and holds sallyport.yaml, systems/ or integrations/. */
export function assertEstateDirectory(directory: string): void {
  try {
    readdirSync(directory);
  } catch {
    throw new CommandEnd(exitCode.badUse, `${directory} cannot be read as a directory`, fixFor(directory));
  }
  if (isEstate(directory)) return;
  throw new CommandEnd(
    exitCode.badUse,
    `${directory} is no estate: it holds neither sallyport.yaml nor systems/ nor integrations/`,
    fixFor(directory),
  );
}

function fixFor(directory: string): string {
  const parent = resolve(directory, "..");
  const near = [parent, join(resolve(directory), "estate")].find(isEstate);
  return near === undefined
    ? `name the directory that holds systems/ and integrations/, or write one: sallyport init ${directory}`
    : `did you mean ${near}?`;
}

function isEstate(directory: string): boolean {
  return (
    isA("file", join(directory, "sallyport.yaml")) ||
    isA("folder", join(directory, "systems")) ||
    isA("folder", join(directory, "integrations"))
  );
}

function isA(kind: "file" | "folder", path: string): boolean {
  try {
    const found = statSync(path);
    return kind === "file" ? found.isFile() : found.isDirectory();
  } catch {
    return false;
  }
}
