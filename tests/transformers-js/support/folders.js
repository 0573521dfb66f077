import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../../..", import.meta.url));
export const data = path.join(root, "tests/data");
export const modules = fileURLToPath(new URL("../node_modules", import.meta.url));

// A folder that is gone when the process ends.
export function temporaryFolder() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "qwen3vl-"));
  process.on("exit", () => fs.rmSync(folder, { recursive: true }));
  return folder;
}

// docs/examples/NAME in a folder of its own, without the modules that it imports.
export function copyExample(name) {
  const folder = temporaryFolder();
  fs.cpSync(path.join(root, "docs/examples", name), folder, { recursive: true });
  return folder;
}

// The same with the modules.
export function installExample(name) {
  const folder = copyExample(name);
  fs.symlinkSync(modules, path.join(folder, "node_modules"));
  return folder;
}
