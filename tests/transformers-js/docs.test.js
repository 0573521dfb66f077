// The commands and programs of docs/start: run in order as they stand there.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { codeBlocks, follow } from "./support/docs.js";
import { copyExample, data, root, temporaryFolder } from "./support/folders.js";

const { questions, videos } = JSON.parse(fs.readFileSync(path.join(data, "shapes/questions.json")));

function copyPicture(name, folder, as) {
  fs.copyFileSync(path.join(data, "shapes", name), path.join(folder, as));
}

for (const [page, example] of [["transformers-js.md", "transformers-js"], ["browser.md", "browser"]]) {
  test(`${page} shows the programs of docs/examples/${example}`, () => {
    const folder = path.join(root, "docs/examples", example);
    const programs = fs.readdirSync(folder).map((name) => fs.readFileSync(path.join(folder, name), "utf8"));
    const shown = codeBlocks(page).filter(({ language }) => language === "js");
    assert.ok(shown.length > 0);
    for (const { code } of shown) assert.ok(programs.includes(code), `no file is:\n${code}`);
  });
}

test("transformers-js.md from download to answers", async () => {
  const folder = copyExample("transformers-js");
  const one = questions.find(({ question }) => question === "Describe the picture.");
  const two = questions.find(({ question }) => question === "Which picture has more shapes?");
  copyPicture(one.images[0], folder, "picture.jpg"); // what it is shows in its bytes
  copyPicture(two.images[0], folder, "first.png");
  copyPicture(two.images[1], folder, "second.png");
  const { code, out, err } = await follow("transformers-js.md", folder);
  assert.equal(code, 0, out + err);
  assert.deepEqual(out.trimEnd().split("\n").slice(-2), [one.hf_fp32_answer, two.hf_fp32_answer]);
});

test("run.md from download to answers", async () => {
  const folder = temporaryFolder();
  const one = questions.find(({ question }) => question === "Describe the picture.");
  const two = questions.find(({ question }) => question === "Which picture has more shapes?");
  const clip = videos.find(({ question }) => question === "Describe the video.");
  copyPicture(one.images[0], folder, "picture.jpg");
  copyPicture(two.images[0], folder, "first.png");
  copyPicture(two.images[1], folder, "second.png");
  fs.mkdirSync(path.join(folder, "frames"));
  clip.frames.forEach((frame, index) => copyPicture(frame, folder, `frames/${index}.png`));
  const { code, out, err } = await follow("run.md", folder);
  assert.equal(code, 0, out + err);
  const answers = [one, two, clip, one].map((asked) => asked.hf_fp32_answer);
  assert.deepEqual(out.trimEnd().split("\n"), answers);
});

for (const page of ["genai-python.md", "genai-cpp.md"]) {
  test(`${page} to a package that has what the client demands`, async () => {
    const { code, out, err } = await follow(page, temporaryFolder());
    assert.equal(code, 0, out + err);
  });
}

test("genai-python.md's program is Python", (context) => {
  const programs = codeBlocks("genai-python.md").filter(({ language }) => language === "python");
  assert.equal(programs.length, 1);
  const { error, status, stderr } = spawnSync("python3", ["-c", "import ast, sys; ast.parse(sys.stdin.read())"], {
    input: programs[0].code,
  });
  if (error?.code === "ENOENT") return context.skip("there is no python3");
  assert.equal(status, 0, String(stderr));
});
