// The pages of docs/start as a reader follows them.
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import { exporter } from "./export_package.js";
import { data, modules, root, temporaryFolder } from "./folders.js";

// The fenced blocks of a page, in order.
export function codeBlocks(page) {
  const text = fs.readFileSync(path.join(root, "docs/start", page), "utf8");
  return [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language, code]) => ({ language, code }));
}

// The blocks in sh. Those in bash need what no test has: onnxruntime-genai.
export function commands(page) {
  return codeBlocks(page).filter(({ language }) => language === "sh").map(({ code }) => code).join("");
}

// What a reader's downloads bring, from this machine: the small trained checkpoint under the published one's name, and the
// modules that tools/setup installed, whose version is the one that the page names.
function standIns() {
  const folder = temporaryFolder();
  const { version } = JSON.parse(fs.readFileSync(path.join(modules, "@huggingface/transformers/package.json")));
  const script = (name, body) => fs.writeFileSync(path.join(folder, name), `#!/bin/sh\nset -eu\n${body}\n`, { mode: 0o755 });
  script("hf", `[ "$1 $2 $3" = "download Qwen/Qwen3-VL-2B-Instruct --local-dir" ]\ncp -r '${data}/shapes/checkpoint' "$4"`);
  script("npm", `[ "$*" = "install @huggingface/transformers@${version}" ]\nln -s '${modules}' node_modules`);
  script("qwen3vl-export", `exec '${exporter}' "$@"`);
  return folder;
}

// Starts a page's commands in `folder`, with `variables` in the environment.
export function start(page, folder, variables = {}) {
  return spawn("bash", ["-euo", "pipefail", "-c", commands(page)], {
    cwd: folder,
    env: { ...process.env, PATH: `${standIns()}:${process.env.PATH}`, ...variables },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true, // a process group, so that what the commands leave running can be ended
  });
}

// Runs them to their end: exit code and output.
export async function follow(page, folder) {
  const child = start(page, folder);
  const output = { out: "", err: "" };
  child.stdout.on("data", (text) => (output.out += text));
  child.stderr.on("data", (text) => (output.err += text));
  const [code] = await once(child, "close");
  return { code, ...output };
}
